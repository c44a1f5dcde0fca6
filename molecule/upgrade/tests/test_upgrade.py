"""A host of an earlier state is upgraded under load: nothing is lost, and nothing of it is trusted. In order."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import ask, on
from hello import NAMES, SITE, STUCK, live, make_source, release_of
from load import load
from plays import ROOT, Result, play

APP = Path(__file__).parents[1] / "app"

# Asks for a static file until its input ends; prints how often it did, and how often the answer was something else.
STATIC = """
import http.client, json, select, socket, ssl, sys
context, name = ssl._create_unverified_context(), sys.argv[1]
asked, failed = 0, {}
while not select.select([sys.stdin], [], [], 0.1)[0]:
    asked += 1
    try:
        connection = http.client.HTTPSConnection(name, context=context, timeout=30)
        connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 30), server_hostname=name)
        connection.request("GET", "/static/site.css")
        answer = connection.getresponse()
        problem = "" if b"color" in answer.read() else str(answer.status)
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        problem = repr(error)
    if problem:
        failed[problem] = failed.get(problem, 0) + 1
print(json.dumps([asked, failed]))
"""


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("made") / "hello"
    make_source(APP, folder)
    (folder / "edition.py").write_text('NAME = "one"\n')
    return {"folder": str(folder)}


@contextmanager
def static_load(name: str) -> Iterator[None]:
    """Ask for a static file on this host for as long as the block lasts; each answer must be the file."""
    command = ["docker", "exec", "--interactive", name, "python3", "-c", STATIC, SITE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield
        finally:
            output, _ = client.communicate("\n", timeout=60)
    asked, failed = json.loads(output)
    print(f"{name}: {asked} requests for a static file, failed: {failed}")
    assert asked > 50
    assert failed == {}


def test_the_earlier_state_serves(hosts: list[Any], source: dict[str, str], earlier: Callable[..., Result]) -> None:
    earlier("site", app_source=source).succeeded()
    assert live(hosts) == "one"
    for host in hosts:
        on(host, "test -d /srv/hello/cache && echo kept >/srv/hello/shared/kept && chown hello: /srv/hello/shared/kept")
        assert on(host, "stat --format=%U /srv/hello/current/src").strip() == "hello"


def test_the_upgrade_loses_no_request(hosts: list[Any], source: dict[str, str]) -> None:
    before = [release_of(host) for host in hosts]
    with ExitStack() as stack:
        loads = [stack.enter_context(load(name, SITE)) for name in NAMES]
        for name in NAMES:
            stack.enter_context(static_load(name))
        play(app_source=source).succeeded()
    assert live(hosts) == "one"
    for host, name, result in zip(hosts, before, loads, strict=True):
        print(f"{result.sent} requests, the longest {result.longest:.2f} s, by release: {result.seen}")
        assert result.failed == []
        assert result.longest < STUCK
        assert list(result.seen) == [name, release_of(host)]


def test_nothing_of_the_earlier_state_is_trusted(hosts: list[Any]) -> None:
    for host in hosts:
        assert on(host, "find /srv/hello/current/ -not -user root").strip() == ""
        assert on(host, "ls -A /srv/hello/cache /srv/hello/build/.former-cache 2>/dev/null || true").strip() == ""
        earlier = "find /srv/hello/releases -mindepth 2 -maxdepth 2 -name src -user hello"
        assert len(on(host, earlier).splitlines()) == 1
        assert on(host, "cat /srv/hello/shared/kept").strip() == "kept"
        assert on(host, "systemctl list-units --failed --plain --no-legend").strip() == ""
        # Each file of Nginx is there once, and what the package has is as it was.
        assert on(host, "ls /etc/nginx/production.fastapi/").strip() != ""
        assert "production.fastapi" not in on(host, "ls /etc/nginx/sites-enabled /etc/nginx/conf.d")
        assert ask(host, SITE, "/static/site.css")[0] == 200


def test_the_second_run_changes_nothing(source: dict[str, str]) -> None:
    result = play(app_source=source).succeeded()
    assert result.stats("changed") == dict.fromkeys(NAMES, 0), result.output


def test_going_back_to_the_earlier_release_and_forth(hosts: list[Any], source: dict[str, str]) -> None:
    now = [release_of(host) for host in hosts]
    with ExitStack() as stack:
        loads = [stack.enter_context(load(name, SITE)) for name in NAMES]
        play(playbook=ROOT / "playbooks" / "rollback.yml").succeeded()
        assert [release_of(host) for host in hosts] != now
        play(app_source=source, app_insist=True).succeeded()
    assert [release_of(host) for host in hosts] == now
    assert [result.failed for result in loads] == [[], []]
    if os.environ.get("LONG"):
        print([(result.sent, result.longest) for result in loads])
