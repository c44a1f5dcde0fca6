"""What answers on the socket of an app while none of its releases is ready, on real sockets."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILES = Path(__file__).parents[3] / "roles/gunicorn/files"
FILE = FILES / "standby.py"
STILL = 30.0


@pytest.fixture(scope="module")
def standby() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standby", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["standby"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class App:
    """The state of an app, and a socket of it on which the program stands by."""

    def __init__(self, standby: ModuleType, listening: socket.socket, *, elsewhere: bool) -> None:
        self.ready = False
        self.looks = 0
        self.listening = listening
        watch = standby.Watch(self.look, STILL)
        threading.Thread(
            target=standby.serve, args=(listening.dup(), watch), kwargs={"elsewhere": elsewhere}, daemon=True
        ).start()

    def look(self) -> list[dict[str, str]]:
        self.looks += 1
        return [{"ActiveState": "active"}] if self.ready else []

    def ask(self, method: str = "GET", body: bytes = b"", timeout: float = 20) -> bytes:
        """The whole answer; empty when the connection was closed without one."""
        with socket.socket(self.listening.family) as client:
            client.settimeout(timeout)
            client.connect(self.listening.getsockname())
            client.sendall(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = b""
            while part := client.recv(65536):
                answer += part
            return answer


@pytest.fixture
def app(standby: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setattr(standby, "PATIENCE", 0.5)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "http.sock"))
        listening.listen(100)
        yield App(standby, listening, elsewhere=False)


def test_while_no_release_is_ready_clients_are_told_when_to_come_back(app: App) -> None:
    head, _, body = app.ask().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 5\r\n" in head
    assert json.loads(body) == {"detail": "Service unavailable"}


def test_a_large_body_does_not_cost_the_answer(app: App) -> None:
    """The kernel resets a connection that is closed while something is unread, and the answer with it."""
    assert app.ask("POST", b"x" * 5_000_000).startswith(b"HTTP/1.1 503 ")


def test_nothing_is_taken_from_a_release_that_is_ready(app: App) -> None:
    app.ready = True
    with pytest.raises(TimeoutError):
        app.ask(timeout=2)
    assert app.looks > 0, "it has wondered, and looked"
    client, _ = app.listening.accept()
    assert client.recv(100).startswith(b"GET / HTTP/1.1")
    client.close()


def test_over_a_network_another_server_gets_what_may_be_sent_again(
    standby: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = App(standby, listening, elsewhere=True)
        assert app.ask("GET") == b""
        assert app.ask("POST").startswith(b"HTTP/1.1 503 ")


# Since when nobody is ready


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def down(restarts: int, sub: str = "start", entered: str = "1") -> dict[str, str]:
    """An instance that systemd starts again."""
    return {
        "Id": "shop@one.service",
        "ActiveState": "activating",
        "SubState": sub,
        "NRestarts": str(restarts),
        "Result": "success",
        "ActiveEnterTimestampMonotonic": entered,
    }


def test_without_any_instance_clients_are_told_after_some_seconds(standby: ModuleType) -> None:
    clock, found = Clock(), [[]]
    watch = standby.Watch(lambda: found[0], STILL, clock)
    told = []
    for _ in range(20):
        told.append(watch.gone())
        clock.now += 0.5
    assert told.index(True) == standby.PATIENCE / 0.5
    assert all(told[told.index(True) :])
    found[0] = [{"ActiveState": "active"}]
    assert not watch.gone()
    found[0] = []
    clock.now += 0.5
    assert not watch.gone(), "it was ready a moment ago"


def test_an_app_that_crashed_has_some_seconds_to_come_back(standby: ModuleType) -> None:
    clock, found = Clock(), [[down(3, "auto-restart")]]
    watch = standby.Watch(lambda: found[0], STILL, clock)
    told = []
    for unit in (down(3, "auto-restart"), *[down(4)] * 20):
        found[0] = [unit]
        told.append(watch.gone())
        clock.now += 0.5
    assert told.index(True) == standby.PATIENCE_AFTER_CRASH / 0.5
    assert all(told[told.index(True) :])


def test_an_app_that_somebody_starts_is_waited_for_however_long_it_takes(standby: ModuleType) -> None:
    clock = Clock()
    watch = standby.Watch(lambda: [down(0)], STILL, clock)
    for _ in range(200):
        assert not watch.gone()
        clock.now += 0.5


@pytest.mark.parametrize("last", [down(5), down(4, "auto-restart")], ids=["tries again", "will try again"])
def test_when_a_restart_has_failed_nobody_waits_any_longer(standby: ModuleType, last: dict[str, str]) -> None:
    clock, found = Clock(), [[down(3, "auto-restart")]]
    watch = standby.Watch(lambda: found[0], STILL, clock)
    assert not watch.gone()
    found[0] = [down(4)]
    assert not watch.gone()
    found[0] = [last]
    assert watch.gone()
    clock.now += 3600
    assert watch.gone(), "it has not been up since"
    found[0] = [down(5) | {"ActiveState": "deactivating"}]
    watch.gone()
    found[0] = [last]
    assert watch.gone(), "that it ended does not mean that it was up"
    found[0] = [down(9, "auto-restart", entered="2")]
    assert not watch.gone(), "it was up, and has crashed once"


def test_what_was_seen_long_ago_counts_for_nothing(standby: ModuleType) -> None:
    clock = Clock()
    watch = standby.Watch(list, STILL, clock)
    watch.gone()
    clock.now += 3600
    assert not watch.gone()


@pytest.mark.parametrize(
    ("unit", "serves"),
    [
        ({"ActiveState": "active", "NRestarts": "3", "Result": "success"}, True),
        ({"ActiveState": "reloading", "NRestarts": "0", "Result": "success"}, True),
        # Somebody has started it.
        ({"ActiveState": "activating", "NRestarts": "0", "Result": "success"}, True),
        # systemd tries again, and again.
        ({"ActiveState": "activating", "NRestarts": "4", "Result": "success"}, False),
        ({"ActiveState": "activating", "NRestarts": "0", "Result": "exit-code"}, False),
        # A restart stops it first.
        ({"ActiveState": "deactivating", "NRestarts": "0", "Result": "success"}, True),
        ({"ActiveState": "failed", "NRestarts": "0", "Result": "timeout"}, False),
        ({}, False),
    ],
)
def test_which_instance_serves_or_is_about_to(standby: ModuleType, unit: dict[str, Any], serves: bool) -> None:
    assert standby.will_serve(unit) is serves


def test_the_moment_between_two_restarts_is_no_absence(standby: ModuleType) -> None:
    clock, found = Clock(), [[down(3)]]
    watch = standby.Watch(lambda: found[0], STILL, clock)
    for _ in range(8):
        assert not watch.gone()
        clock.now += 0.5
    found[0] = [down(3) | {"ActiveState": "inactive"}]
    assert not watch.gone()


def said(seconds: float, state: str = "active") -> dict[str, str]:
    """An instance of which a worker was alive at that time."""
    return {
        "Id": "shop@one.service",
        "ActiveState": state,
        "StatusText": f"A worker was alive {seconds:.0f} s after boot",
    }


def test_of_workers_that_stand_still_for_as_long_as_a_request_may_take_nobody_waits(standby: ModuleType) -> None:
    clock = Clock()
    watch = standby.Watch(lambda: [said(1000)], STILL, clock)
    told = []
    for _ in range(80):
        told.append(watch.gone())
        clock.now += 0.5
    assert told.index(True) == STILL / 0.5
    assert all(told[told.index(True) :])


@pytest.mark.parametrize(
    "found",
    [
        [said(999)],
        [said(0), said(999)],
        # Somebody starts or stops it; its last word is old.
        [said(0), {"ActiveState": "activating", "NRestarts": "0", "Result": "success"}],
        [said(0, "deactivating")],
        # From before workers said so.
        [{"ActiveState": "active", "StatusText": ""}],
        [{"ActiveState": "active"}],
    ],
    ids=["alive", "one of two", "starts", "stops", "says nothing", "cannot say"],
)
def test_who_may_be_alive_is_waited_for(standby: ModuleType, found: list[dict[str, str]]) -> None:
    clock = Clock()
    watch = standby.Watch(lambda: found, STILL, clock)
    for _ in range(20):
        assert not watch.gone()
        clock.now += 0.5


def test_a_short_time_for_requests_makes_no_frozen_server_of_a_busy_one(standby: ModuleType) -> None:
    clock = Clock()
    watch = standby.Watch(lambda: [said(clock.now - 5)], 1.0, clock)
    assert not watch.gone()
    watch = standby.Watch(lambda: [said(clock.now - standby.LEAST_STILL)], 1.0, clock)
    assert watch.gone()


def test_a_release_that_moves_again_is_waited_for_again(standby: ModuleType) -> None:
    clock, found = Clock(), [[said(0)]]
    watch = standby.Watch(lambda: found[0], STILL, clock)
    assert watch.gone()
    found[0] = [said(1000)]
    assert not watch.gone()
    found[0] = []
    assert not watch.gone(), "it was there a moment ago"


def test_the_words_are_those_of_the_worker(standby: ModuleType) -> None:
    words = re.search(r'^ALIVE = "(.+)"$', (FILES / "drain_worker.py").read_text(), re.MULTILINE)
    assert words is not None
    assert standby.ALIVE.pattern.startswith(words[1])


def test_the_time_is_that_of_a_request(render: Any) -> None:
    assert "/standby app 45\n" in render("gunicorn", "app-standby.service.j2", {"app_request_timeout": 45})


def test_who_sees_nothing_takes_nothing(standby: ModuleType) -> None:
    """A release that is only busy would lose its requests to a 503."""
    clock = Clock()
    watch = standby.Watch(lambda: None, STILL, clock)
    for _ in range(20):
        assert not watch.gone()
        clock.now += 0.5


SYSTEMCTL = """#!/bin/sh
echo "$@" >asked
printf 'Id=shop@one.service\nActiveState=active\n\nId=shop@two.service\nActiveState=activating\n'
"""
REFUSED = """#!/bin/sh
echo 'Failed to list units: Transport endpoint is not connected' >&2
exit 1
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "systemctl"
    program.touch(mode=0o755)
    return program


def test_what_systemd_says_of_the_instances(standby: ModuleType, systemctl: Path) -> None:
    systemctl.write_text(SYSTEMCTL)
    states = [(unit["Id"], unit["ActiveState"]) for unit in standby.units("shop")]
    assert states == [("shop@one.service", "active"), ("shop@two.service", "activating")]
    assert systemctl.with_name("asked").read_text().split()[-1] == "shop@*.service"


def test_that_systemd_cannot_be_asked_is_not_that_there_is_no_instance(
    standby: ModuleType, systemctl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    systemctl.write_text("#!/bin/sh\n")
    assert standby.units("shop") == []
    systemctl.write_text(REFUSED)
    assert standby.units("shop") is None
    assert capsys.readouterr().out == (
        "systemd cannot be asked, so all requests wait for the app:"
        " Failed to list units: Transport endpoint is not connected\n"
    )


def test_its_account_is_one_that_every_host_knows(render: Any) -> None:
    """D-Bus turns away an account that is in no database, which a dynamic one is without libnss-systemd."""
    unit = render("gunicorn", "app-standby.service.j2", {})
    assert "\nUser=daemon\n" in unit
    assert "\nDynamicUser" not in unit
