"""Releases come and go under load, and no request is lost; the tests build on each other, in order."""

import json
import re
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import testinfra
from asking import ask_json, on
from load import load
from plays import ROOT, play

NAMES = ("pf-debian12", "pf-debian13")
SITE = "hello.example.com"
APP = Path(__file__).parents[1] / "app"
# An answer takes milliseconds; a client that had to wait as long as this was stuck.
STUCK = 15.0


@pytest.fixture(scope="session")
def hosts():
    return [testinfra.get_host(f"docker://{name}") for name in NAMES]


@pytest.fixture(scope="session")
def deploy(tmp_path_factory):
    """`deploy("two")` runs site.yml with an edition of the app; further settings are lines of its `edition.py`."""

    def run(edition, **settings):
        folder = tmp_path_factory.mktemp(edition) / edition
        shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
        lines = [f"{name} = {value!r}\n" for name, value in {"NAME": edition, **settings}.items()]
        (folder / "edition.py").write_text("".join(lines))
        return play(app_source={"folder": str(folder)})

    return run


@contextmanager
def load_on_all():
    """Load on every host for as long as the block lasts; what became of it is checked at its end."""
    with ExitStack() as stack:
        loads = [stack.enter_context(load(name, SITE)) for name in NAMES]
        yield loads
    for result in loads:
        assert result.sent > 50
        assert result.failed == []
        assert result.longest < STUCK


def book(name, *arguments, **variables):
    return play(*arguments, playbook=ROOT / "playbooks" / f"{name}.yml", **variables)


def succeeded(result):
    assert result.returncode == 0, result.output
    return result


def live(hosts):
    """The edition that each host serves, when it is the same."""
    (edition,) = {ask_json(host, SITE, "/")["edition"] for host in hosts}
    return edition


def release_of(host):
    return on(host, "basename $(readlink /srv/hello/current)").strip()


def units(host):
    listed = on(host, "systemctl list-units --all --plain --no-legend --full 'hello@*'")
    return [line.split()[0] for line in listed.splitlines()]


def workers(host):
    master = on(host, "systemctl show --property=MainPID --value hello@$(basename $(readlink /srv/hello/current))")
    return set(on(host, f"pgrep --parent {master.strip()}").split())


def history(host):
    return [json.loads(line) for line in on(host, "cat /var/lib/production.fastapi/hello/history.jsonl").splitlines()]


def test_there_is_nothing_to_go_back_to_after_the_first_deploy(hosts, deploy):
    succeeded(deploy("one"))
    assert live(hosts) == "one"
    result = book("rollback")
    assert result.returncode != 0
    assert "There is no release of hello to go back to: the host has" in result.text


def test_deploys_lose_no_request(hosts, deploy):
    with load_on_all() as loads:
        succeeded(deploy("two"))
        succeeded(deploy("three"))
    assert live(hosts) == "three"
    for host, result in zip(hosts, loads, strict=True):
        assert len(result.seen) == 3
        assert [event["event"] for event in history(host)] == ["live"] * 3
        assert all("@" in event["by"] for event in history(host))


def test_the_same_again_changes_nothing_and_waits_for_nothing(hosts, deploy):
    before = [history(host) for host in hosts]
    result = succeeded(deploy("three"))
    assert set(result.stats("changed").values()) == {0}, result.output
    assert [history(host) for host in hosts] == before


def test_the_releases_as_a_table_and_for_a_program(hosts, tmp_path):
    table = succeeded(book("releases")).output
    assert re.search(r"RELEASE +STATE +BUILT +LIVE SINCE +BY +SOURCE", table)
    assert len(re.findall(r" live +.*three \(", table)) == len(re.findall(r" before +.*two \(", table)) == len(NAMES)
    succeeded(book("releases", json=str(tmp_path / "releases.json")))
    told = json.loads((tmp_path / "releases.json").read_text())
    for name, host in zip(NAMES, hosts, strict=True):
        assert told[name]["live"] == release_of(host)
        assert [release["source"].split()[0] for release in told[name]["releases"]] == ["three", "two", "one"]


def test_a_rollback_goes_to_the_release_before(hosts):
    with load_on_all():
        succeeded(book("rollback"))
    assert live(hosts) == "two"
    for host in hosts:
        assert (history(host)[-1]["event"], history(host)[-1]["reason"]) == ("live", "rollback")


def test_a_rollback_by_name_and_once_more(hosts):
    (name,) = {release["release"].partition("-")[0] for release in history(hosts[0])[:1]}
    succeeded(book("rollback", release=name))
    assert live(hosts) == "one"
    assert set(succeeded(book("rollback", release=name)).stats("changed").values()) == {0}


def test_an_unknown_release_is_refused_with_those_there_are(hosts):
    result = book("rollback", release="no-such-release")
    assert result.returncode != 0
    assert f"There is no release no-such-release of hello: the host has {release_of(hosts[0])} (live)" in result.text
    assert live(hosts) == "one"


@pytest.mark.parametrize(("playbook", "event"), [("reload", "reloaded"), ("restart", "restarted")])
def test_new_workers_without_a_lost_request(hosts, playbook, event):
    before = [workers(host) for host in hosts]
    with load_on_all():
        succeeded(book(playbook))
        for host, old in zip(hosts, before, strict=True):
            on(host, f"timeout 60 sh -c 'while kill -0 {' '.join(old)} 2>/dev/null; do sleep 0.2; done'")
    for host, old in zip(hosts, before, strict=True):
        assert not workers(host) & old
        assert history(host)[-1]["event"] == event


# What is broken: the commands that break it and mend it, and what the error has to show of it.
BROKEN = {
    "configuration": (
        "cd /etc/hello && cp -a gunicorn.conf.py kept && echo 'raise OSError(\"planted\")' >> gunicorn.conf.py",
        "mv /etc/hello/kept /etc/hello/gunicorn.conf.py",
        "OSError: planted",
    ),
    "app": (
        "mv /srv/hello/current/src/main.py /srv/hello/current/src/kept",
        "mv /srv/hello/current/src/kept /srv/hello/current/src/main.py",
        "ModuleNotFoundError: No module named 'main'",
    ),
}


@pytest.mark.parametrize("playbook", ["reload", "restart"])
@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_start_is_refused_and_the_old_workers_serve(hosts, playbook, what):
    broken, mended, said = BROKEN[what]
    before = [workers(host) for host in hosts]
    for host in hosts:
        on(host, broken)
    try:
        with load_on_all():
            # The playbook restart takes one host after the other, and stops at the first one that fails.
            result = book(playbook)
    finally:
        for host in hosts:
            on(host, mended)
    assert result.returncode != 0
    assert said in result.text
    assert f"Release {release_of(hosts[0])} serves." in result.text
    assert [workers(host) for host in hosts] == before


def test_a_release_that_dies_soon_is_withdrawn(hosts, deploy):
    before = [workers(host) for host in hosts]
    with ExitStack() as stack:
        loads = [stack.enter_context(load(name, SITE)) for name in NAMES]
        result = deploy("dying", DIES_AFTER=3)
    assert result.returncode != 0
    assert "was withdrawn: it ended 3 s after it was ready" in result.text
    assert "a planted end" in result.text
    for host, sent in zip(hosts, loads, strict=True):
        assert f"Release {release_of(host)} serves." in result.text
        # What was under way in it is lost: at most one request of each of the four clients.
        assert len(sent.failed) <= 4
        assert units(host) == [f"hello@{release_of(host)}.service"]
        assert history(host)[-1]["event"] == "failed"
    assert live(hosts) == "one"
    assert [workers(host) for host in hosts] == before


def test_a_release_that_failed_is_no_way_back_unless_one_insists(hosts):
    name = history(hosts[0])[-1]["release"]
    result = book("rollback", "--limit", NAMES[0], release=name)
    assert result.returncode != 0
    assert f"Release {name} of hello failed when it was to become live" in result.text
    result = book("rollback", "--limit", NAMES[0], "--check", release=name, insist=True)
    assert succeeded(result).stats("changed")[NAMES[0]] > 0
    assert " failed " in succeeded(book("releases", "--limit", NAMES[0])).output


def test_a_command_has_the_environment_of_the_app(hosts):
    code = "import os, sys; print(os.getcwd(), os.environ['APP_RELEASE'], sys.prefix, os.environ['TOKEN']); sys.exit(7)"
    result = book("exec", command=f'python -c "{code}"')
    release = f"/srv/hello/releases/{release_of(hosts[0])}"
    assert result.returncode != 0
    assert f"{release}/src {release_of(hosts[0])} {release}/venv ********" in result.text
    assert "The command ended with exit code 7." in result.text
    assert "hunter2" not in result.output
    assert sum(result.stats("changed").values()) == 1, "it ran on one host"


def test_a_command_that_takes_too_long_is_ended_with_its_children(hosts):
    result = book("exec", command="sh -c 'sleep 4321 & sleep 1234'", time_limit=2)
    assert "The command ended with exit code 124." in result.text
    assert hosts[0].run("pgrep --full 'sleep (4321|1234)'").rc == 1


def test_a_command_is_confined_as_the_app_is(hosts):
    for host in hosts:
        ran = host.run("echo in | /etc/hello/run current sh -c 'cat; id --user --name; touch /etc/planted'")
        assert ran.stdout.split() == ["in", "hello"]
        assert "Read-only file system" in ran.stderr
        assert ran.rc == 1


def test_the_log(hosts):
    output = succeeded(book("logs", lines=200)).output
    assert output.count("a planted end") >= len(NAMES)
    assert len(re.findall(r"^ +- .*hello", succeeded(book("logs", lines=3)).output, re.MULTILINE)) <= 3 * len(NAMES)


def test_prune_keeps_what_serves_and_the_one_before(hosts):
    for host in hosts:
        on(host, "mkdir /srv/hello/releases/killed && touch /srv/hello/releases/killed/release.json.building")
    succeeded(book("rollback", gunicorn_keep_releases=1))
    assert live(hosts) == "two"
    for host in hosts:
        before = history(host)[-1]["previous"]
        assert sorted(host.file("/srv/hello/releases").listdir()) == sorted([release_of(host), before])


def test_after_a_reboot_the_live_release_alone_comes_back(hosts):
    releases = [release_of(host) for host in hosts]
    for name in NAMES:
        subprocess.run(["docker", "restart", name], check=True, capture_output=True)
        up = "until systemctl is-system-running --wait 2>/dev/null; do sleep 0.2; done"
        subprocess.run(["docker", "exec", name, "timeout", "120", "sh", "-c", up], check=True, capture_output=True)
    assert live(hosts) == "two"
    for host, release in zip(hosts, releases, strict=True):
        assert units(host) == [f"hello@{release}.service"]
