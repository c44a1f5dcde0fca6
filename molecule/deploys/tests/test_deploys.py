"""Deploys under load, good ones and all kinds of bad ones; the tests build on each other, in order.

Both hosts have the first release, a deploy, and what happens once for all servers. What is left to one host is decided
by the collection, and systemd, uv and Nginx of the other Debian have had their part in it in those tests already.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import on
from hello import NAMES, ONE, live, load_on, release_of, restart, units
from planted import TALKATIVE
from plays import DEPLOY, ROOT, play

ALEMBIC = {
    "requirements.txt": "alembic\n",
    "alembic.ini": "[alembic]\nscript_location = migrations\n",
    "migrations/env.py": """
from alembic import context
from sqlalchemy import create_engine
with create_engine("sqlite:////srv/hello/shared/app.db").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
""",
}


def revision(number):
    """The files of a migration; the one before it has the number before."""
    before = f"r{number - 1}" if number > 1 else None
    text = f"revision, down_revision = 'r{number}', {before!r}\ndef upgrade(): pass\n"
    return {f"migrations/versions/{number}.py": text}


# What is broken: files of the source, further variables, and what the sentence must have in it. Other sources that
# cannot be built are in tests/unit/plugins/test_release_build.py, since a deploy ends the same way for each of them.
BROKEN = {
    "import that hangs": (
        {"edition.py": "import time; time.sleep(3600)"},
        {},
        r"main:app cannot be imported: it takes more than 60 seconds",
    ),
    "start-up that raises": ({}, {}, r"could not start\. Release \S+ serves\. .*RuntimeError: a planted error"),
    "start-up that never ends": ({}, {}, r"was not ready after 10 s\. Release \S+ serves\."),
    "is never ready": ({}, {}, r"was not ready after 10 s\. Release \S+ serves\. .*503"),
    "dies after the switch": ({}, {}, r"was withdrawn: it ended \d+ s after it was ready.*a planted end"),
    "migration that fails": (
        {},
        {"app_migrate_command": "python step.py migrate 0 7"},
        r"The migration, python step\.py migrate 0 7, ended with exit code 7\. .* migrate with \*{8}",
    ),
    "command after the switch that fails": (
        {},
        {"app_after_switch": ["python step.py after 0 1"]},
        r"A command after the switch, python step\.py after 0 1, ended with exit code 1\.",
    ),
    "fails some requests": (
        {},
        {},
        r"Of \d+ requests through Nginx from the switch on \d+ failed, of \d+ before it 0; app_receipt_budget allows 1",
    ),
}

# What goes wrong after the switch, and how many servers have it here. Each ending of two servers is in
# tests/unit/plugins/test_deploy_endings.py.
LATE = {"command after the switch that fails": 2, "fails some requests": 1}


def running(source, *, until):
    """A deploy to the first host, of its own process group, that has printed the line `until`."""
    command = ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], str(DEPLOY), *ONE, "--extra-vars"]
    variables = {"app_source": source, "app_receipt_folder": "", "app_migrate_command": "python step.py migrate 5"}
    process = subprocess.Popen(
        [*command, json.dumps(variables)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    seen = ""
    for line in process.stdout:
        seen += line
        if until in line:
            return process
    raise AssertionError(f"it ended before it came to {until}:\n{seen}")


@contextlib.contextmanager
def waiting(hosts):
    """Meanwhile, steps that have begun do not end."""
    for host in hosts:
        on(host, "touch /srv/hello/shared/wait")
    try:
        yield
    finally:
        for host in hosts:
            on(host, "rm /srv/hello/shared/wait")


def steps(hosts):
    """What the steps have written down on all hosts, and forget it."""
    command = "cat /srv/hello/shared/steps 2>/dev/null; rm -f /srv/hello/shared/steps"
    return [line.split() for host in hosts for line in on(host, command).splitlines()]


def locks(hosts):
    return [host.file("/var/lib/production.fastapi/hello/deploy.lock").exists for host in hosts]


def test_the_first_release(hosts, edition, receipts):
    play(app_source=edition("one"), app_receipt_folder=str(receipts)).succeeded()
    assert live(hosts) == "one"
    assert [step[0] for step in steps(hosts)] == ["migrate"]
    assert list(receipts.iterdir()) == [], "nobody was served before"


def test_a_deploy_does_each_step_once_in_order_and_in_the_new_environment(hosts, edition, deploy, receipts):
    with load_on(*NAMES):
        result = deploy(
            edition("two"),
            *TALKATIVE,
            app_before_switch=["python step.py before", "python step.py again"],
            app_after_switch=["python step.py after"],
        ).succeeded()
    assert live(hosts) == "two"
    done = steps(hosts)
    assert [step[0] for step in done] == ["before", "again", "migrate", "after"]
    assert {step[1] for step in done} == {release_of(hosts[0])}
    assert {(step[2], step[3]) for step in done} == {("hunter2-and-more", "src")}
    said = re.search(
        r"hello: \w{8} → (\w{8}) on 2 hosts; ([0-9,]+) requests of the probe for /readyz through Nginx, 0 failed",
        result.text,
    )
    assert said, result.text
    assert release_of(hosts[0]).startswith(said[1])
    (receipt,) = receipts.glob("*.json")
    told = json.loads(receipt.read_text())
    assert f"{told['requests']:,}" == said[2]
    assert [event["name"] for event in told["events"]] == ["build", "gate", "switch", *["drain"] * len(hosts), "verify"]
    assert {event["host"] for event in told["events"] if event["name"] == "drain"} == set(NAMES)
    assert receipt.with_suffix(".html").stat().st_size > 0
    assert locks(hosts) == [False, False]
    assert [units(host) for host in hosts] == [[f"hello@{release_of(host)}.service"] for host in hosts]


def test_the_same_again_changes_nothing(hosts, edition, deploy):
    before = [release_of(host) for host in hosts]
    # Of the playbook site the scenario `default` has it on both Debians.
    for result in (deploy(edition("two")), play(*ONE, app_source=edition("two"))):
        assert set(result.succeeded().stats("changed").values()) == {0}
        assert "Acquire the deploy lock" not in re.sub(r"TASK.*\nskipping", "", result.output).split("PLAY RECAP")[0]
    assert steps(hosts) == []
    assert [release_of(host) for host in hosts] == before


def attempt(hosts, what, edition, deploy, **variables):
    """Deploy something broken to these hosts under load; nobody notices, and nothing is left of it."""
    names = [host.backend.name for host in hosts]
    files, more, sentence = BROKEN[what]
    before, serving = [release_of(host) for host in hosts], live(hosts)
    # Of one that dies, what was under way in it is lost: at most one request of each of the four clients.
    # Nothing is switched in the minute that an import has, and clients cost the suite more than a deploy does.
    slower = 4 if what == "import that hangs" else 1
    with load_on(*names, allowed=4 if what == "dies after the switch" else 0, slower=slower):
        result = deploy(edition(what, **files), *TALKATIVE, "--limit", ",".join(names), **more, **variables)
    assert result.returncode != 0
    said = result.text[result.text.index("TASK [Show what went wrong") :]
    assert re.search(sentence, said), result.output
    for name, release in zip(names, before, strict=True):
        assert f"{name} has {release} live now." in said
    assert live(hosts) == serving
    assert [release_of(host) for host in hosts] == before
    assert [units(host) for host in hosts] == [[f"hello@{release}.service"] for release in before]
    assert locks(hosts) == [False] * len(hosts)


@pytest.fixture(scope="session")
def attempts(hosts, edition, deploy):
    """The releases that are refused before or at the switch, some on each host, both at work at the same time."""
    ended = {}

    def work(host, mine):
        for what in mine:
            try:
                # A probe asks on all load balancers, so two deploys of one app would stop each other's.
                attempt([host], what, edition, deploy, app_receipt=False)
            except Exception as error:
                ended[what] = error
            else:
                ended[what] = None

    early = [what for what in BROKEN if what not in LATE]
    with ThreadPoolExecutor(len(hosts)) as pool:
        for number, host in enumerate(hosts):
            pool.submit(work, host, early[number :: len(hosts)])
    return ended


@pytest.mark.parametrize("what", [what for what in BROKEN if what not in LATE])
def test_a_broken_release_is_never_noticed(attempts, what):
    if attempts[what]:
        raise attempts[what]


@pytest.mark.parametrize(("what", "servers"), LATE.items())
def test_what_fails_on_one_server_leaves_all_with_the_release_they_had(hosts, edition, deploy, what, servers):
    attempt(hosts[:servers], what, edition, deploy)


def test_a_disk_that_fills_during_the_build(one, edition, deploy):
    before = [release_of(host) for host in one]
    for host in one:
        on(
            host,
            "cd /srv/hello && mkdir full && size=$(du --summarize --block-size=1M releases | cut -f1)"
            " && mount -t tmpfs -o size=$((size + 8))M tmpfs full && cp --archive releases/. full/"
            " && mount --move full releases",
        )
    try:
        with load_on(NAMES[0]):
            result = deploy(edition("too much"), *ONE, app_minimum_free_disk_mb=1)
        left = [sorted(host.file("/srv/hello/releases").listdir()) for host in one]
    finally:
        for host in one:
            on(host, "umount --lazy /srv/hello/releases && rmdir /srv/hello/full")
    assert result.returncode != 0
    assert "No space left on device" in result.text
    assert left == [sorted(host.file("/srv/hello/releases").listdir()) for host in one], "nothing of it is left"
    assert [release_of(host) for host in one] == before
    assert live(one) == "two"


def test_after_a_failed_deploy_a_restart_brings_back_what_was_live(one):
    releases = [release_of(host) for host in one]
    restart(NAMES[0])
    assert live(one) == "two"
    assert [units(host) for host in one] == [[f"hello@{release}.service"] for release in releases]


def test_of_two_deploys_at_once_one_is_refused_by_name(one, edition, deploy):
    steps(one)
    with load_on(NAMES[0]):
        with waiting(one):
            first = running(edition("three"), until="Run python step.py migrate")
            shown = play(*ONE, playbook=ROOT / "playbooks" / "lock.yml").succeeded()
            second = deploy(edition("four"), *ONE)
        output, _ = first.communicate(timeout=300)
    assert re.search(r"\S+@\S+ deploys hello \(\S+\) since \d\d:\d\d UTC \(\d min\); its lock ends at", shown.text)
    assert first.returncode == 0, output
    assert second.returncode != 0
    assert re.search(r"@\S+ deploys hello \(\S+\) since .* wait, or break the lock with the playbook lock", second.text)
    assert live(one) == "three"
    assert [step[0] for step in steps(one)] == ["migrate"]


def test_a_broken_lock_ends_the_deploy(one, edition):
    with waiting(one):
        first = running(edition("five"), until="Run python step.py migrate")
        play(*ONE, playbook=ROOT / "playbooks" / "lock.yml", state="broken").succeeded()
    output, _ = first.communicate(timeout=300)
    assert first.returncode != 0
    assert "The lock of this deploy of hello was broken, so it ends here." in re.sub(r"\s+", " ", output)
    assert live(one) == "three"


def test_a_release_that_does_not_know_the_database_is_no_way_back(one, edition, deploy):
    migrate = {"app_migrate_command": "alembic upgrade head"}
    deploy(edition("first", **ALEMBIC, **revision(1)), *ONE, **migrate).succeeded()
    deploy(edition("second", **ALEMBIC, **revision(1), **revision(2)), *ONE, **migrate).succeeded()
    refused = play(*ONE, playbook=ROOT / "playbooks" / "rollback.yml")
    assert refused.returncode != 0
    assert re.search(r"Release \S+ of hello does not know revision r2, which the database has", refused.text)
    assert live(one) == "second"
    play(*ONE, playbook=ROOT / "playbooks" / "rollback.yml", insist=True).succeeded()
    assert live(one) == "first"


STEPS = ["app : Build the release", "Run python step.py migrate", "gunicorn : Make the release live"]


def test_deploys_that_were_killed_are_made_good_by_the_next_one(one, edition, deploy):
    """Each takes over from one that was killed, and is itself killed at a later step; the last one is not."""
    source = edition("killed")
    with load_on(NAMES[0]):
        for step in STEPS:
            process = running(source, until=step)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert any(locks(one))
        deploy(source, *ONE).succeeded()
    assert live(one) == "killed"
    assert locks(one) == [False]
    assert [units(host) for host in one] == [[f"hello@{release_of(host)}.service"] for host in one]
