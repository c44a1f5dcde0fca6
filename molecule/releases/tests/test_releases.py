"""Releases come and go under load, and no request is lost; the tests build on each other, in order.

Both hosts have deploys, a rollback, a reload and a restart under load. What is left to one host is decided by the
collection, and systemd and Nginx of the other Debian have had their part in it in those tests already.
"""

import json
import re
from pathlib import Path

import pytest
from asking import on
from hello import NAMES, ONE, SITE, live, load_on, make_source, release_of, restart, units
from load import load
from plays import DEPLOY, ROOT, play

APP = Path(__file__).parents[1] / "app"


@pytest.fixture(scope="session")
def deploy(tmp_path_factory):
    """`deploy("two")` deploys an edition of the app; further settings are lines of its `edition.py`."""

    def run(edition, *arguments, variables=None, playbook=DEPLOY, **settings):
        folder = tmp_path_factory.mktemp(edition) / edition
        make_source(APP, folder)
        lines = [f"{name} = {value!r}\n" for name, value in {"NAME": edition, **settings}.items()]
        (folder / "edition.py").write_text("".join(lines))
        return play(*arguments, playbook=playbook, app_source={"folder": str(folder)}, **variables or {})

    return run


def book(name, *arguments, **variables):
    return play(*arguments, playbook=ROOT / "playbooks" / f"{name}.yml", **variables)


def workers(host):
    master = on(host, "systemctl show --property=MainPID --value hello@$(basename $(readlink /srv/hello/current))")
    return set(on(host, f"pgrep --parent {master.strip()}").split())


def processes(host):
    """The processes with their main process ids, which change when one is restarted."""
    return {
        unit: on(host, f"systemctl show --property=MainPID --value {unit}") for unit in units(host, "hello.*@*.service")
    }


def processes_of(release, count=2):
    return [f"hello.mailer-{number}@{release}.service" for number in range(1, count + 1)]


def notes(host):
    """What processes and jobs have written down: name, event, edition."""
    return [line.split() for line in on(host, "cat /srv/hello/shared/background").splitlines()]


def history(host):
    return [json.loads(line) for line in on(host, "cat /var/lib/production.fastapi/hello/history.jsonl").splitlines()]


def test_the_first_release(hosts, deploy):
    deploy("one", playbook=ROOT / "site.yml").succeeded()
    assert live(hosts) == "one"


def test_deploys_lose_no_request(hosts, deploy):
    with load_on(*NAMES) as loads:
        deploy("two", playbook=ROOT / "site.yml").succeeded()
        deploy("three").succeeded()
    assert live(hosts) == "three"
    for host, result in zip(hosts, loads, strict=True):
        assert len(result.seen) == 3
        assert [event["event"] for event in history(host)] == ["tried", "live"] * 3
        assert all("@" in event["by"] for event in history(host))


def test_processes_change_over_with_their_release_and_never_meet(hosts):
    for host in hosts:
        assert sorted(processes(host)) == processes_of(release_of(host))
        begun = [(event, edition) for _, event, edition in notes(host)]
        assert begun == [
            *[("begins", "one")] * 2,
            *[("ends", "one")] * 2,
            *[("begins", "two")] * 2,
            *[("ends", "two")] * 2,
            *[("begins", "three")] * 2,
        ]


def test_the_same_again_changes_nothing_and_waits_for_nothing(one, deploy):
    before = [history(host) for host in one]
    result = deploy("three", *ONE).succeeded()
    assert set(result.stats("changed").values()) == {0}, result.output
    assert [history(host) for host in one] == before


def test_the_releases_for_a_program(hosts, tmp_path):
    book("releases", json=str(tmp_path / "releases.json")).succeeded()
    told = json.loads((tmp_path / "releases.json").read_text())
    for name, host in zip(NAMES, hosts, strict=True):
        assert told[name]["live"] == release_of(host)
        assert [release["source"].split()[0] for release in told[name]["releases"]] == ["three", "two", "one"]


def test_a_rollback_goes_to_the_release_before(hosts):
    with load_on(*NAMES):
        book("rollback").succeeded()
    assert live(hosts) == "two"
    for host in hosts:
        assert (history(host)[-1]["event"], history(host)[-1]["reason"]) == ("live", "rollback")
        assert sorted(processes(host)) == processes_of(release_of(host))


def test_a_job_runs_in_the_release_that_is_live(hosts):
    for host in hosts:
        assert "hello.cleanup.timer" in on(host, "systemctl list-timers hello.cleanup.timer")
        on(host, "systemctl start hello.cleanup.service")
        assert notes(host)[-2:] == [["cleanup", "begins", "two"], ["cleanup", "ends", "two"]]


def test_a_rollback_by_name_and_once_more(hosts):
    (name,) = {release["release"].partition("-")[0] for release in history(hosts[0])[:1]}
    book("rollback", release=name).succeeded()
    assert live(hosts) == "one"
    assert set(book("rollback", *ONE, release=name).succeeded().stats("changed").values()) == {0}


@pytest.mark.parametrize(("playbook", "event"), [("reload", "reloaded"), ("restart", "restarted")])
def test_new_workers_without_a_lost_request(hosts, playbook, event):
    before, started = [workers(host) for host in hosts], [processes(host) for host in hosts]
    with load_on(*NAMES):
        book(playbook).succeeded()
        for host, old in zip(hosts, before, strict=True):
            wait = f"for pid in {' '.join(old)}; do while kill -0 $pid 2>/dev/null; do sleep 0.2; done; done"
            on(host, f"timeout 60 sh -c '{wait}'")
    for host, old in zip(hosts, before, strict=True):
        assert not workers(host) & old
        assert history(host)[-1]["event"] == event
    for host, old in zip(hosts, started, strict=True):
        assert sorted(processes(host)) == sorted(old)
        # Only a restart is one of the processes too.
        assert (processes(host) == old) == (playbook == "reload")


def test_more_processes_and_fewer_jobs_leave_the_rest_alone(one, deploy):
    before = [(workers(host), processes(host)) for host in one]
    mailer = {"name": "mailer", "command": "python background.py mailer", "count": 3}
    deploy("one", *ONE, variables={"app_processes": [mailer], "app_jobs": []}).succeeded()
    for host, (web, two) in zip(one, before, strict=True):
        three = processes(host)
        assert sorted(three) == processes_of(release_of(host), count=3)
        assert (workers(host), two) == (web, {unit: three[unit] for unit in two})
        assert units(host, "hello.cleanup*") == []
    deploy("one", *ONE).succeeded()
    for host, (web, two) in zip(one, before, strict=True):
        assert (workers(host), processes(host)) == (web, two)
        assert "hello.cleanup.timer" in units(host, "hello.cleanup*")
        assert notes(host)[-1] == ["mailer", "ends", "one"]


def test_a_calendar_that_systemd_does_not_know_is_refused(hosts):
    job = {"name": "cleanup", "command": "true", "schedule": "every now and then"}
    result = play("--check", "--limit", NAMES[0], app_jobs=[job])
    assert result.returncode != 0
    assert "Failed to parse calendar specification 'every now and then'" in result.text
    assert "Look at the schedule of cleanup in app_jobs. Nothing was changed." in result.text


def test_a_release_whose_process_does_not_stay_up_is_withdrawn(one, deploy):
    before = [workers(host) for host in one]
    with load_on(NAMES[0]):
        result = deploy("ending", *ONE, PROCESS_ENDS=True)
    assert result.returncode != 0
    for host, web in zip(one, before, strict=True):
        release = release_of(host)
        assert re.search(
            r"Release \S+ was withdrawn: process mailer-\d of release \S+ ended; a process of app_processes must run"
            rf" until it is stopped\. Release {release} serves\. The last .* log: .*a planted end of a process",
            result.text,
        )
        assert (sorted(processes(host)), units(host)) == (processes_of(release), [f"hello@{release}.service"])
        assert workers(host) == web
        assert history(host)[-1]["event"] == "failed"
    assert live(one) == "one"


# What is broken on each host: the commands that break it and mend it, and what the error has to show of it.
BROKEN = {
    NAMES[0]: (
        "cd /etc/hello && cp -a gunicorn.conf.py kept && echo 'raise OSError(\"planted\")' >> gunicorn.conf.py",
        "mv /etc/hello/kept /etc/hello/gunicorn.conf.py",
        "OSError: planted",
    ),
    NAMES[1]: (
        "mv /srv/hello/current/src/main.py /srv/hello/current/src/kept",
        "mv /srv/hello/current/src/kept /srv/hello/current/src/main.py",
        "ModuleNotFoundError: No module named 'main'",
    ),
}


# The playbook restart takes one host after the other, and stops at the first one that fails. A reload is refused on
# both in one run.
@pytest.mark.parametrize(("playbook", "names"), [("reload", NAMES), *[("restart", (name,)) for name in NAMES]])
def test_what_cannot_start_is_refused_and_the_old_workers_serve(hosts, playbook, names):
    those = [hosts[NAMES.index(name)] for name in names]
    before = [workers(host) for host in those]
    for name, host in zip(names, those, strict=True):
        on(host, BROKEN[name][0])
    try:
        with load_on(*names):
            result = book(playbook, "--limit", ",".join([*names, "localhost"]))
    finally:
        for name, host in zip(names, those, strict=True):
            on(host, BROKEN[name][1])
    assert result.returncode != 0
    for name, host in zip(names, those, strict=True):
        assert BROKEN[name][2] in result.text
        assert f"Release {release_of(host)} serves." in result.text
    assert [workers(host) for host in those] == before


def test_a_release_that_dies_soon_is_withdrawn(one, deploy):
    before = [workers(host) for host in one]
    with load(NAMES[0], SITE) as sent:
        result = deploy("dying", *ONE, DIES_AFTER=3)
    assert result.returncode != 0
    assert "was withdrawn: it ended 3 s after it was ready" in result.text
    assert "a planted end" in result.text
    for host in one:
        assert f"Release {release_of(host)} serves." in result.text
        # What was under way in it is lost: at most one request of each of the four clients.
        assert len(sent.failed) <= 4
        assert units(host) == [f"hello@{release_of(host)}.service"]
        assert "dying" not in [edition for _, _, edition in notes(host)], "it never had a process"
        assert history(host)[-1]["event"] == "failed"
    assert live(one) == "one"
    assert [workers(host) for host in one] == before


def test_a_release_that_failed_is_no_way_back(hosts):
    """What else a rollback refuses, and that one can insist, is in tests/unit/plugins/test_releases.py."""
    name = history(hosts[0])[-1]["release"]
    result = book("rollback", *ONE, release=name)
    assert result.returncode != 0
    assert f"Release {name} of hello failed when it was to become live" in result.text


def test_the_releases_as_a_table():
    table = book("releases", *ONE).succeeded().output
    assert re.search(r"RELEASE +STATE +BUILT +LIVE SINCE +BY +SOURCE", table)
    assert len(re.findall(r" live +.*one \(", table)) == len(re.findall(r" before +.*two \(", table)) == 1
    assert re.search(r" failed +.*dying \(", table)


def test_a_command_has_the_environment_of_the_app(hosts):
    shown = "os.getcwd(), os.environ['PRODUCTION_FASTAPI_RELEASE'], sys.prefix, os.environ['TOKEN']"
    code = f"import os, sys; print({shown}); sys.exit(7)"
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


def test_the_log():
    # One line each, as a list in JSON or YAML, or as text.
    output = book("logs", *ONE, lines=2000).succeeded().output
    assert len(re.findall(r": a planted end\W*$", output, re.MULTILINE)) >= 1
    assert "a planted end of a process" in book("logs", *ONE, process="mailer", lines=2000).succeeded().output
    lines = re.findall(r"^\W+\d{4}-\d\d-\d\dT.*$", book("logs", *ONE, lines=3).succeeded().output, re.MULTILINE)
    assert 0 < len(lines) <= 3


def test_prune_keeps_what_serves_and_the_one_before(one):
    for host in one:
        on(host, "mkdir /srv/hello/releases/killed && touch /srv/hello/releases/killed/release.json.building")
    book("rollback", *ONE, gunicorn_keep_releases=1).succeeded()
    assert live(one) == "two"
    for host in one:
        before = history(host)[-1]["previous"]
        assert sorted(host.file("/srv/hello/releases").listdir()) == sorted([release_of(host), before])


def test_after_a_reboot_the_live_release_alone_comes_back(hosts):
    """The second host; the scenario `deploys` has the first one restart."""
    host = hosts[1]
    release = release_of(host)
    restart(NAMES[1])
    assert live([host]) == "one"
    assert units(host) == [f"hello@{release}.service"]
    assert sorted(processes(host)) == processes_of(release)
    assert "hello.cleanup.timer" in units(host, "hello.cleanup*")
