"""The switch on a host made of a folder and a `systemctl` that remembers what it was told."""

from __future__ import annotations

import hashlib
import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.action.switch import is_settled
from ansible_collections.production.fastapi.plugins.module_utils._deploy.history import History
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import DeployLock, Lock
from ansible_collections.production.fastapi.plugins.module_utils._deploy.running import SwitchError
from ansible_collections.production.fastapi.plugins.module_utils._deploy.standing import standing
from ansible_collections.production.fastapi.plugins.module_utils._deploy.switching import Switch
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.modules import switch as switch_module

WANTS = "etc/systemd/system/multi-user.target.wants"
TIMERS = "etc/systemd/system/timers.target.wants"
SOCKET = "run/shop/http.sock"


@dataclass(frozen=True)
class FakeHost(Host):
    """systemd as far as the switch can tell: `broken` units do not start, `lives` is what becomes of a watched one.

    Of processes `dying` ones end as soon as they were started.
    """

    active: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    dying: set[str] = field(default_factory=set)
    listens: list[str] = field(default_factory=lambda: [f"/{SOCKET}"])
    lives: list[str] = field(default_factory=lambda: ["ActiveState=active\nMainPID=7\n"])

    def systemctl(self, *arguments: str, timeout: float = 60) -> tuple[bool, str]:
        verb, unit = arguments[0], arguments[-1]
        if verb == "list-units":
            return True, "".join(f"{name} loaded {state} sub words\n" for name, state in self.active.items())
        if verb == "show" and "Listen" in arguments[1]:
            return True, f"{self.listens[-1]} (Stream)\n"
        if verb == "show" and "ControlGroup" in arguments[1]:
            return True, f"/{unit}\n"
        if verb == "show" and "InvocationID" in arguments[1].split(",")[-1]:
            return True, "\n\n".join(f"ActiveState={self.active.get(each, 'inactive')}" for each in arguments[2:])
        if verb == "show":
            return True, self.lives.pop(0) if len(self.lives) > 1 else self.lives[0]
        # What is enabled or disabled without a word on it makes systemd read all units again.
        if verb == "daemon-reload" or (verb in {"enable", "disable"} and "--no-reload" not in arguments):
            self.calls.append(("reads its units", ""))
        done = [self.act(verb, each) for each in arguments[1:] if not each.startswith("--")]
        return all(done), ""

    def act(self, verb: str, unit: str) -> bool:
        self.calls.append((verb, unit))
        link = self.root / (TIMERS if unit.endswith(".timer") else WANTS) / unit
        if verb == "enable" and ("@" in unit or unit.endswith(".timer")):
            link.touch()
            if unit.endswith(".timer"):
                self.active[unit] = "active"
        elif verb == "disable":
            link.unlink(missing_ok=True)
        elif verb == "stop":
            self.active.pop(unit, None)
        elif verb in {"start", "restart", "reload"}:
            if unit in self.broken:
                if verb == "start":
                    self.active[unit] = "activating"  # systemd tries again
                return False
            self.active[unit] = "activating" if unit in self.dying else "active"
            self.active["shop.socket"] = "active"
        return True

    def log(self, unit: str, since: float) -> list[str]:
        return [f"log of {unit}"]

    def told(self, *verbs: str) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] in verbs and "@" in call[1]]


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    for release in ("one", "two"):
        (tmp_path / "srv/shop/releases" / release).mkdir(parents=True)
    for folder in (WANTS, TIMERS, "run/shop", "run/lock", "etc/shop"):
        (tmp_path / folder).mkdir(parents=True)
    return FakeHost(root=tmp_path)


def switch(host: FakeHost, release: str, **options: Any) -> Switch:
    options = {"health_timeout": 0.3} | options
    return Switch(host=host, name="shop", release=release, current="/srv/shop/current", **options)


def record(host: FakeHost, name: str, *files: str) -> None:
    """What the unit does when it starts."""
    lines = [f"{hashlib.sha256(host.at(file).read_bytes()).hexdigest()}  {file}\n" for file in files]
    host.at(f"/run/shop/{name}").write_text("".join(lines))


def live(host: FakeHost) -> str:
    return host.at("/srv/shop/current").readlink().name


def enabled(host: FakeHost) -> list[str]:
    return sorted(path.name for path in host.at(f"/{WANTS}").iterdir())


def events(host: FakeHost) -> list[tuple[str, str, str]]:
    return [(event.event, event.release, event.previous) for event in History(host.root, "shop").read()]


@pytest.fixture
def running(host: FakeHost) -> FakeHost:
    """A host on which release one is live."""
    switch(host, "one").run()
    host.calls.clear()
    return host


def test_the_first_release(host: FakeHost) -> None:
    result = switch(host, "one").run()
    assert result["changed"]
    assert (result["previous"], result["live"], live(host)) == ("", "one", "one")
    assert enabled(host) == ["shop@one.service"]


def test_a_second_run_does_nothing(running: FakeHost) -> None:
    assert switch(running, "one").run() == {"changed": False, "reasons": [], "live": "one", "previous": "one"}
    assert running.calls == []


def test_the_new_release_is_ready_before_the_old_one_is_told_to_stop(running: FakeHost) -> None:
    result = switch(running, "two").run()
    assert (result["previous"], result["live"], live(running)) == ("one", "two", "two")
    assert running.told("start", "stop") == [("start", "shop@two.service"), ("stop", "shop@one.service")]
    assert enabled(running) == ["shop@two.service"]


def test_systemd_reads_its_units_once_and_before_the_old_one_stops(running: FakeHost) -> None:
    """It costs 0.2 s of a processor. A switch that is killed after the stop leaves nothing to be completed."""
    switch(running, "two").run()
    done = [call for call in running.calls if call[0] in {"enable", "disable", "reads its units", "stop"}]
    assert [call for call in done if call[1] != "shop.socket"] == [
        ("enable", "shop@two.service"),
        ("disable", "shop@one.service"),
        ("reads its units", ""),
        ("stop", "shop@one.service"),
    ]


def test_what_was_not_enabled_makes_systemd_read_nothing(running: FakeHost) -> None:
    running.broken.add("shop@two.service")
    with pytest.raises(SwitchError):
        switch(running, "two").run()
    assert ("reads its units", "") not in running.calls


def test_when_the_old_one_drained(running: FakeHost) -> None:
    began = time.time()
    drain = switch(running, "two").run()["drain"]
    assert began <= drain["at"] <= drain["until"] <= time.time()


def test_a_release_that_does_not_start_changes_nothing(running: FakeHost) -> None:
    running.broken.add("shop@two.service")
    with pytest.raises(SwitchError) as failure:
        switch(running, "two").run()
    assert "Release two could not start. Release one serves. The last lines of its log:" in str(failure.value)
    assert "log of shop@two.service" in str(failure.value)
    assert failure.value.result["live"] == live(running) == "one"
    assert running.active == {"shop@one.service": "active", "shop.socket": "active"}
    assert enabled(running) == ["shop@one.service"]


@pytest.mark.parametrize(
    ("timeout", "log", "helped"),
    [
        (0, "importing", True),
        (60, "ValueError: no", False),
        (0, "Not ready: /readyz answers 503.", False),
    ],
)
def test_a_release_that_is_not_ready_in_time_may_need_longer(
    running: FakeHost, monkeypatch: pytest.MonkeyPatch, timeout: int, log: str, helped: bool
) -> None:
    running.broken.add("shop@two.service")
    monkeypatch.setattr(FakeHost, "log", lambda *_: [log])
    with pytest.raises(SwitchError) as failure:
        switch(running, "two", start_timeout=timeout).run()
    assert ("raise gunicorn_start_timeout" in str(failure.value)) is helped


def test_a_first_release_that_does_not_start_leaves_nothing(host: FakeHost) -> None:
    host.broken.add("shop@one.service")
    with pytest.raises(SwitchError, match="No release serves"):
        switch(host, "one").run()
    assert not host.at("/srv/shop/current").is_symlink()
    assert enabled(host) == []


@pytest.mark.parametrize("killed_after", ["start", "enable", "disable"])
def test_the_next_run_completes_a_killed_one(running: FakeHost, killed_after: str) -> None:
    running.active["shop@two.service"] = "active"
    if killed_after in {"enable", "disable"}:
        switch(running, "two")._point("two")
        running.systemctl("enable", "shop@two.service")
    if killed_after == "disable":
        running.systemctl("disable", "shop@one.service")
    switch(running, "two").run()
    assert running.active == {"shop@two.service": "active", "shop.socket": "active"}
    assert (live(running), enabled(running)) == ("two", ["shop@two.service"])


def test_what_the_host_lost_is_made_good(running: FakeHost) -> None:
    running.systemctl("disable", "shop@one.service")
    running.active["shop.socket"] = "inactive"
    result = switch(running, "one").run()
    assert sorted(result["reasons"]) == ["release one would not start with the host", "shop.socket is not active"]
    assert running.active["shop.socket"] == "active"
    assert enabled(running) == ["shop@one.service"]


@pytest.mark.parametrize(
    ("option", "kept_in", "verbs"),
    [
        ("watch", "one.started", [("start", "shop.check@one.service"), ("restart", "shop@one.service")]),
        ("watch_reload", "one.reloaded", [("reload", "shop@one.service")]),
    ],
)
def test_a_changed_file(running: FakeHost, option: str, kept_in: str, verbs: list[tuple[str, str]]) -> None:
    file = "/etc/shop/file"
    running.at(file).write_text("before")
    record(running, kept_in, file)
    options = {option: [file, "/etc/shop/missing-then-and-now"]}
    assert not switch(running, "one", **options).run()["changed"]
    running.at(file).write_text("after")
    (reason,) = switch(running, "one", **options).run()["reasons"]
    assert reason.startswith("/etc/shop/file changed since release one")
    assert running.told("start", "restart", "reload") == verbs


def test_a_removed_file_is_a_change(running: FakeHost) -> None:
    running.at("/etc/shop/environment").write_text("A=1")
    record(running, "one.started", "/etc/shop/environment")
    running.at("/etc/shop/environment").unlink()
    assert switch(running, "one", watch=["/etc/shop/environment"]).look()["changed"]


def test_a_changed_file_that_does_not_work_leaves_the_process_alone(running: FakeHost) -> None:
    running.at("/etc/shop/environment").write_text("DATABASE=wrong")
    running.broken.add("shop.check@one.service")
    with pytest.raises(SwitchError, match=r"does not start with the configuration on disk.*\n  log of shop.check@one"):
        switch(running, "one", watch=["/etc/shop/environment"]).run()
    assert running.told("restart", "reload") == []
    assert running.active["shop@one.service"] == "active"


def test_a_refused_reload_is_an_error(running: FakeHost) -> None:
    running.at("/etc/shop/gunicorn.conf.py").write_text("x = 1")
    running.broken.add("shop@one.service")
    with pytest.raises(SwitchError, match=r"The reload of release one was refused\. Release one serves"):
        switch(running, "one", watch_reload=["/etc/shop/gunicorn.conf.py"]).run()


def test_a_changed_socket_is_opened_again_with_its_release(running: FakeHost) -> None:
    running.at("/etc/shop/shop.socket").write_text("ListenStream=8000")
    result = switch(running, "one", watch_socket=["/etc/shop/shop.socket"]).run()
    assert result["reasons"] == ["/etc/shop/shop.socket changed since the socket opened"]
    assert ("restart", "shop.socket") in running.calls
    assert running.told("start") == [("start", "shop.check@one.service"), ("start", "shop@one.service")]


def test_check_mode_tells_and_does_nothing(running: FakeHost) -> None:
    result = switch(running, "two").look()
    assert result["changed"]
    assert result["live"] == "one"
    assert "release two does not run" in result["reasons"]
    assert running.calls == []


def test_check_mode_on_a_bare_host(tmp_path: Path) -> None:
    assert Switch(host=FakeHost(root=tmp_path), name="shop", release="main").look()["changed"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_place_of_the_link_is_left_alone(running: FakeHost) -> None:
    running.at("/srv/shop/current").unlink()
    running.at("/srv/shop/current").mkdir()
    with pytest.raises(SwitchError, match="/srv/shop/current is not a link: move it away"):
        switch(running, "two").run()
    assert running.calls == []


def test_a_release_that_was_not_built(running: FakeHost) -> None:
    with pytest.raises(SwitchError, match="releases/three does not exist: build the release first"):
        switch(running, "three").run()
    assert running.calls == []


def test_units_of_another_app_are_left_alone(running: FakeHost) -> None:
    running.active["shop-two@main.service"] = running.active["shop.check@one.service"] = "active"
    assert not switch(running, "one").run()["changed"]


def test_the_log_begins_at_the_second_in_which_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "journalctl"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "--since=@100" in Host(tmp_path).log("shop@one.service", since=100.9)


def test_the_log_leaves_out_what_gunicorn_says_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    halt = (
        "  File arbiter.py, line 278\n    ~~~~^^\ngunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>\n"
    )
    printed = (
        "Traceback (most recent call last):\n  File main.py, line 3\nRuntimeError: no database\n"
        f"Traceback (most recent call last):\n{halt}\n"
        "During handling of the above exception, another exception occurred:\n\n"
        f"Traceback (most recent call last):\n{halt}"
    )
    (tmp_path / "printed").write_text(printed)
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/printed\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Host(tmp_path).log("shop@one.service", since=0) == [
        "Traceback (most recent call last):",
        "  File main.py, line 3",
        "RuntimeError: no database",
    ]


# Watching the new one beside the old one


def test_a_release_that_ends_while_it_is_observed_is_withdrawn_and_the_old_one_never_stops(running: FakeHost) -> None:
    running.lives[:] = ["MainPID=7\n", "MainPID=7\n", "MainPID=9\n"]
    with pytest.raises(SwitchError, match=r"two was withdrawn: it ended 0 s after it was ready.* Release one serves\."):
        switch(running, "two", observe=30).run()
    assert running.told("start", "stop") == [("start", "shop@two.service"), ("stop", "shop@two.service")]
    assert (live(running), enabled(running)) == ("one", ["shop@one.service"])
    assert events(running)[-1] == ("failed", "two", "one")


def test_a_release_that_stays_up_is_settled(running: FakeHost) -> None:
    assert switch(running, "two", observe=0.6).run()["live"] == "two"
    assert running.told("start", "stop") == [("start", "shop@two.service"), ("stop", "shop@one.service")]


def test_where_an_app_in_a_subdirectory_writes_is_named_from_the_top_of_its_source(
    running: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = running.at("/srv/shop/releases/two")
    release.mkdir(parents=True, exist_ok=True)
    (release / "release.env").write_text('PRODUCTION_FASTAPI_DIRECTORY="/srv/shop/releases/two/src/backend"\n')
    log = ["OSError: [Errno 30] Read-only file system: 'logs'"]
    monkeypatch.setattr(FakeHost, "log", lambda _host, _unit, _since: log)
    running.lives[:] = ["MainPID=7\n", "MainPID=8\n"]
    with pytest.raises(SwitchError, match=r"set app_shared: \[backend/logs\] to have"):
        switch(running, "two", observe=0.6).run()


def test_a_reload_meanwhile_is_no_end(running: FakeHost) -> None:
    running.lives[:] = ["ActiveState=active\n", "ActiveState=reloading\n", "ActiveState=active\n"]
    assert switch(running, "two", observe=0.6).run()["live"] == "two"


def test_a_first_release_and_a_second_run_are_not_observed(host: FakeHost) -> None:
    host.lives[:] = ["MainPID=7\n", "MainPID=8\n"]  # whoever watched would see an end
    for _unused in range(2):
        assert switch(host, "one", observe=600).run()["live"] == "one"


def test_a_killed_observation_is_made_up_for(running: FakeHost) -> None:
    running.active["shop@two.service"] = "active"
    running.lives[:] = ["MainPID=7\n", "MainPID=8\n"]
    with pytest.raises(SwitchError, match="withdrawn"):
        switch(running, "two", observe=30).run()
    assert running.active == {"shop@one.service": "active", "shop.socket": "active"}


# What is remembered


def test_the_history_of_a_host(host: FakeHost) -> None:
    for release in ("one", "two", "two", "one"):
        switch(host, release, by="anna@laptop").run()
    assert events(host) == [("live", "one", ""), ("live", "two", "one"), ("live", "one", "two")]
    assert {event.by for event in History(host.root, "shop").read()} == {"anna@laptop"}


def test_a_changed_file_is_remembered_with_its_name(running: FakeHost) -> None:
    running.at("/etc/shop/environment").write_text("A=1")
    switch(running, "one", watch=["/etc/shop/environment"]).run()
    last = History(running.root, "shop").read()[-1]
    assert (last.event, last.reason) == ("restarted", "/etc/shop/environment changed since release one started")


def test_a_release_that_does_not_start_is_remembered_and_a_configuration_that_does_not_is_not(
    running: FakeHost,
) -> None:
    running.broken.update({"shop@two.service", "shop.check@one.service"})
    with pytest.raises(SwitchError):
        switch(running, "two").run()
    running.at("/etc/shop/environment").write_text("DATABASE=wrong")
    with pytest.raises(SwitchError):
        switch(running, "one", watch=["/etc/shop/environment"]).run()
    assert events(running) == [("live", "one", ""), ("failed", "two", "one")]


def test_a_history_that_cannot_be_written_does_not_fail_a_switch(running: FakeHost) -> None:
    file = running.at("/var/lib/production.fastapi/shop/history.jsonl")
    file.unlink()
    file.mkdir()
    (file / "in the way").touch()
    assert switch(running, "two").run()["live"] == "two"


# Asked for


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("reloaded", [("reload", "shop@one.service")]),
        ("restarted", [("start", "shop.check@one.service"), ("restart", "shop@one.service")]),
    ],
)
def test_the_live_release_is_reloaded_or_restarted(running: FakeHost, state: str, verbs: list[tuple[str, str]]) -> None:
    result = switch(running, "", state=state).run()
    assert (result["changed"], result["live"]) == (True, "one")
    assert running.told("start", "restart", "reload") == verbs
    assert events(running)[-1] == (state, "one", "one")


def test_a_restart_of_what_would_not_start_is_refused(running: FakeHost) -> None:
    running.broken.add("shop.check@one.service")
    with pytest.raises(SwitchError, match=r"does not start with the configuration on disk.*Release one serves"):
        switch(running, "", state="restarted").run()
    assert running.told("restart") == []


def test_nothing_to_reload(host: FakeHost) -> None:
    with pytest.raises(SwitchError, match="No release of shop runs, so none can be reloaded: make one live first"):
        switch(host, "", state="reloaded").run()


# What a run without change goes by


def settle(host: FakeHost) -> None:
    """Files and records as the role and the units write them."""
    host.at("/etc/shop/gunicorn.conf.py").write_text('class Worker:\n    readiness_path = "/ready"\n')
    for kind in ("one.started", "one.reloaded", "socket.started"):
        record(host, kind, "/etc/shop/gunicorn.conf.py")


def test_what_is_live_with_the_files_of_now_and_answers_is_settled(running: FakeHost, answers: list[int]) -> None:
    settle(running)
    assert standing(running.root, "shop", running) == {"live": "one", "settled": True, "health_path": "/ready"}


@pytest.mark.parametrize("kind", ["one.started", "one.reloaded", "socket.started"])
def test_a_process_that_is_older_than_its_files_is_not_settled(
    running: FakeHost, answers: list[int], kind: str
) -> None:
    settle(running)
    running.at(f"/run/shop/{kind}").write_text("0  /etc/shop/gunicorn.conf.py\n")
    assert not standing(running.root, "shop", running)["settled"]
    running.at(f"/run/shop/{kind}").unlink()
    assert not standing(running.root, "shop", running)["settled"]


def test_what_answers_badly_or_has_another_release_beside_it_is_not_settled(
    running: FakeHost, answers: list[int]
) -> None:
    settle(running)
    answers[:] = [503]
    assert not standing(running.root, "shop", running)["settled"]
    answers[:] = [200]
    running.active["shop@two.service"] = "active"
    assert not standing(running.root, "shop", running)["settled"]


def test_an_app_that_never_ran_is_not_settled(host: FakeHost) -> None:
    assert standing(host.root, "shop", host) == {"live": "", "settled": False, "health_path": ""}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"release": "two"}, False),
        ({"state": "restarted"}, False),
        ({"health_path": "/other"}, False),
        ({"current": ""}, False),
    ],
)
def test_the_host_is_not_asked_where_just_that_is_settled(options: dict[str, str], expected: bool) -> None:
    asked = {"name": "shop", "release": "one", "current": "/srv/shop/current", "health_path": "/ready"} | options
    known = {"live": "one", "settled": True, "health_path": "/ready"}
    assert is_settled(asked, known) is expected
    assert not is_settled(asked, known | {"settled": False})
    assert not is_settled(asked, {})


# Asking over the socket


@pytest.fixture
def answers(host: FakeHost) -> Iterator[list[int]]:
    """A server on the socket; it answers with these statuses, the last one for ever."""
    statuses = [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.send_header("X-Release", "two")
            self.end_headers()

        def address_string(self) -> str:
            return "client"

        def log_message(self, *arguments: object) -> None:
            pass

    with socketserver.UnixStreamServer(str(host.at(f"/{SOCKET}")), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield statuses
        server.shutdown()


@pytest.mark.parametrize("statuses", [[200], [404], [503, 200]])
def test_a_healthy_answer(running: FakeHost, answers: list[int], statuses: list[int]) -> None:
    answers[:] = statuses
    assert switch(running, "two", health_path="/ready").run()["live"] == "two"


def test_an_app_with_tls_is_asked_over_tls(running: FakeHost, answers: list[int], tmp_path: Path) -> None:
    chain, key = running.at("/etc/shop/certificate.pem"), tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=shop"
    command += f" -addext subjectAltName=DNS:shop -keyout {key} -out {chain}"
    subprocess.run(command.split(), check=True, capture_output=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("X-Release", "two")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        running.listens.append(f"127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(SwitchError, match="gets no answer"):
            switch(running, "two", health_path="/ready").run()
        server.socket = context.wrap_socket(server.socket, server_side=True)
        assert switch(running, "two", health_path="/ready").run()["live"] == "two"
        server.shutdown()


def test_on_tcp_an_app_is_asked_over_the_socket_for_root(running: FakeHost, answers: list[int]) -> None:
    running.listens.append("127.0.0.1:1")
    running.at(f"/{SOCKET}").rename(running.at("/run/shop/local.sock"))
    assert switch(running, "two", health_path="/ready").run()["live"] == "two"


def test_on_a_path_nothing_is_asked_over_a_socket_for_root_that_is_left(running: FakeHost, answers: list[int]) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(running.at("/run/shop/local.sock")))
    assert switch(running, "two", health_path="/ready").run()["live"] == "two"


def test_it_takes_several_good_answers_in_a_row(running: FakeHost, answers: list[int]) -> None:
    answers[:] = [200, 200, 503, 200, 200, 200, 204]
    switch(running, "two", health_path="/ready", health_timeout=5).run()
    assert answers == [204]


def test_one_good_answer_is_enough_when_nothing_was_to_be_done(running: FakeHost, answers: list[int]) -> None:
    answers[:] = [200, 204]
    switch(running, "one", health_path="/ready").run()
    assert answers == [204]


def test_a_bad_answer_of_its_own_withdraws_a_release_that_is_observed(running: FakeHost, answers: list[int]) -> None:
    answers[:] = [500]
    with pytest.raises(SwitchError, match=r"withdrawn: it answered 500 to /ready.*Release one serves"):
        switch(running, "two", health_path="/ready", observe=0.1).run()
    assert ("stop", "shop@one.service") not in running.calls


def test_the_answers_of_the_old_one_say_nothing_of_the_new_one(running: FakeHost, answers: list[int]) -> None:
    switch(running, "two").run()
    answers[:] = [500]  # says that it is two's, while one is observed
    with pytest.raises(SwitchError, match="one is ready, but /ready answers 500"):
        switch(running, "one", health_path="/ready", observe=0.1).run()


def test_a_release_that_is_sick_alone_gives_way_to_the_one_before(running: FakeHost, answers: list[int]) -> None:
    answers[:] = [200, 503]
    with pytest.raises(
        SwitchError, match=r"two is ready, but /ready answers 503 over shop\.socket\. Release one serves"
    ):
        switch(running, "two", health_path="/ready").run()
    assert running.told("start", "stop") == [
        ("start", "shop@two.service"),
        ("stop", "shop@one.service"),
        ("start", "shop@one.service"),
        ("stop", "shop@two.service"),
    ]
    assert (live(running), enabled(running)) == ("one", ["shop@one.service"])


def test_a_sick_first_release_is_taken_back(host: FakeHost, answers: list[int]) -> None:
    answers[:] = [500]
    with pytest.raises(SwitchError, match="No release serves"):
        switch(host, "one", health_path="/ready").run()
    assert "shop@one.service" not in host.active
    assert not host.at("/srv/shop/current").is_symlink()


def test_a_live_release_that_is_sick_is_left_running(running: FakeHost, answers: list[int]) -> None:
    answers[:] = [503]
    with pytest.raises(SwitchError, match=r"answers 503 over shop\.socket\. It was left as it is\. Release one"):
        switch(running, "one", health_path="/ready").run()
    assert running.told("start", "stop", "restart") == []


def test_a_socket_that_nobody_answers(running: FakeHost) -> None:
    with pytest.raises(SwitchError, match=r"/ready gets no answer \(FileNotFoundError"):
        switch(running, "one", health_path="/ready").run()


def test_while_somebody_else_deploys_nothing_is_switched(running: FakeHost) -> None:
    held = DeployLock("shop", running.root).take("anna@laptop", "two", {"pid": "7"}, 900)
    with pytest.raises(SwitchError, match=r"Nothing was switched, because anna@laptop deploys .* Release one serves"):
        switch(running, "two").run()
    assert not switch(running, "one").run()["changed"], "what is live already is nobody's business"
    assert running.calls == []
    assert switch(running, "two", deploy=held.deploy, lock_timeout=2000).run()["changed"]
    assert DeployLock("shop", running.root).read().expires > held.expires + 1000


def test_a_deploy_whose_lock_was_broken_switches_nothing(running: FakeHost) -> None:
    lock = DeployLock("shop", running.root)
    held = lock.take("anna@laptop", "two", {"pid": "7"}, 900)
    lock.break_()
    with pytest.raises(SwitchError, match=r"The lock of this deploy of shop was broken, so it ends here\. Release one"):
        switch(running, "two", deploy=held.deploy).run()
    lock.take("ben@desk", "three", {"pid": "8"}, 900)
    with pytest.raises(SwitchError, match=r"so it ends here\. ben@desk deploys shop \(three\)"):
        switch(running, "two", deploy=held.deploy).run()
    assert running.calls == []


@dataclass(frozen=True)
class SlowHost(FakeHost):
    """The release before takes half an hour to stop: everything else was half an hour ago."""

    breaks: bool = False

    def act(self, verb: str, unit: str) -> bool:
        if (verb, unit) == ("stop", "shop@one.service"):
            lock = DeployLock("shop", self.root)
            if self.breaks:
                lock.break_()
            else:
                lock._write(Lock(**asdict(lock.read()) | {"expires": 0}))
        return super().act(verb, unit)


@pytest.mark.parametrize("breaks", [False, True])
def test_the_lock_is_renewed_after_the_old_one_has_drained_too(running: FakeHost, breaks: bool) -> None:
    host = SlowHost(root=running.root, active=running.active, breaks=breaks)
    held = DeployLock("shop", host.root).take("anna@laptop", "two", {"pid": "7"}, 900)
    if not breaks:
        assert switch(host, "two", deploy=held.deploy).run()["changed"]
        assert DeployLock("shop", host.root).read().expires >= held.expires
        return
    with pytest.raises(
        SwitchError, match=r"^The release is live\. The lock of this deploy of shop was broken"
    ) as failure:
        switch(host, "two", deploy=held.deploy).run()
    assert failure.value.result["live"] == live(host) == "two"


@pytest.fixture
def small(running: FakeHost) -> FakeHost:
    """A host on which release one uses 300 MB and 200 MB are left."""
    files = {
        "proc/meminfo": f"MemAvailable: {200 << 10} kB\n",
        "proc/7/smaps_rollup": f"Pss: {300 << 10} kB\n",
        "sys/fs/cgroup/shop@one.service/cgroup.procs": "7\n",
    }
    for name, text in files.items():
        path = running.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return running


@pytest.mark.parametrize("act", [Switch.look, Switch.run])
def test_two_releases_need_memory_for_two(small: FakeHost, act: Callable[[Switch], Any]) -> None:
    with pytest.raises(SwitchError, match=r"200 MB of available memory.*the live one uses 300 MB.*Release one serves"):
        act(switch(small, "two", check_memory=True))
    assert small.calls == []
    act(switch(small, "two"))


def test_no_memory_is_needed_where_nothing_is_switched(small: FakeHost) -> None:
    assert not switch(small, "one", check_memory=True).run()["changed"]


# The processes and jobs


def units_on_disk(host: FakeHost, *names: str) -> None:
    """What the role has written."""
    for name in names:
        host.at(f"/etc/systemd/system/{name}").touch()


def processes(host: FakeHost) -> list[str]:
    return sorted(unit for unit in host.active if unit.startswith("shop.") and "@" in unit)


@pytest.fixture
def working(host: FakeHost) -> FakeHost:
    """A host on which release one is live, with two mailers and a job."""
    units_on_disk(host, "shop.mailer-1@.service", "shop.mailer-2@.service", "shop.cleanup.timer", "shop.check@.service")
    switch(host, "one").run()
    host.calls.clear()
    return host


ONES = ["shop.mailer-1@one.service", "shop.mailer-2@one.service"]
TWOS = ["shop.mailer-1@two.service", "shop.mailer-2@two.service"]


def test_a_release_has_the_processes_and_jobs_that_have_units(working: FakeHost) -> None:
    assert processes(working) == ONES
    assert enabled(working) == [*ONES, "shop@one.service"]
    assert working.active["shop.cleanup.timer"] == "active"
    assert not switch(working, "one").run()["changed"]
    assert working.calls == []


def test_processes_change_over_when_the_new_release_has_been_watched_and_never_run_twice(working: FakeHost) -> None:
    switch(working, "two").run()
    assert processes(working) == TWOS
    assert enabled(working) == [*TWOS, "shop@two.service"]
    assert working.told("start", "stop", "restart") == [
        ("start", "shop@two.service"),
        *[("stop", unit) for unit in ONES],
        *[("restart", unit) for unit in TWOS],
        ("stop", "shop@one.service"),
    ]


def test_a_release_that_is_withdrawn_has_started_no_process(working: FakeHost) -> None:
    working.lives[:] = ["MainPID=7\n", "MainPID=9\n"]
    with pytest.raises(SwitchError, match="withdrawn"):
        switch(working, "two", observe=30).run()
    assert processes(working) == ONES
    assert not {("stop", ONES[0]), ("restart", TWOS[0])} & set(working.calls)


def test_a_process_that_ends_withdraws_its_release(working: FakeHost) -> None:
    working.dying.add(TWOS[1])
    with pytest.raises(
        SwitchError,
        match=r"Release two was withdrawn: process mailer-2 of release two ended; a process of app_processes must run"
        r".* Release one serves\. The last lines of its log:\n  log of shop\.mailer-2@two\.service",
    ):
        switch(working, "two", observe=0.1).run()
    assert processes(working) == ONES
    assert (live(working), enabled(working)) == ("one", [*ONES, "shop@one.service"])
    assert working.active["shop.cleanup.timer"] == "active"
    assert "shop@two.service" not in working.active
    assert ("stop", "shop@one.service") not in working.calls
    assert events(working)[-1] == ("failed", "two", "one")


def test_a_first_release_whose_process_ends_leaves_nothing(host: FakeHost) -> None:
    units_on_disk(host, "shop.mailer-1@.service", "shop.cleanup.timer")
    host.dying.add(ONES[0])
    with pytest.raises(SwitchError, match="No release serves"):
        switch(host, "one", observe=0.1).run()
    assert host.active == {"shop.socket": "active"}
    assert not host.at("/srv/shop/current").is_symlink()


def test_where_nothing_is_observed_as_in_a_rollback_a_process_holds_nothing_up(working: FakeHost) -> None:
    working.dying.add(TWOS[1])
    assert switch(working, "two").run()["live"] == "two"


def test_one_process_more_leaves_the_others_alone(working: FakeHost) -> None:
    units_on_disk(working, "shop.mailer-3@.service")
    result = switch(working, "one").run()
    assert result["reasons"] == [
        "process mailer-3 of release one does not run",
        "process mailer-3 of release one would not start with the host",
    ]
    assert working.told("start", "stop", "restart", "reload") == [("restart", "shop.mailer-3@one.service")]


def test_one_process_less_and_no_job(working: FakeHost) -> None:
    for name in ("shop.mailer-2@.service", "shop.cleanup.timer"):
        working.at(f"/etc/systemd/system/{name}").unlink()
    stamp = working.at("/var/lib/systemd/timers/stamp-shop.cleanup.timer")
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    result = switch(working, "one").run()
    assert result["reasons"] == ["process mailer-2 of release one is still there", "job cleanup is still scheduled"]
    assert processes(working) == ONES[:1]
    assert ("stop", "shop.cleanup.service") in working.calls, "a job that runs ends"
    assert enabled(working) == [ONES[0], "shop@one.service"]
    assert list(working.at(f"/{TIMERS}").iterdir()) == []
    assert not stamp.exists()
    assert not switch(working, "one").run()["changed"]


def test_a_process_that_is_older_than_its_files_is_started_anew(working: FakeHost) -> None:
    working.at("/etc/shop/environment").write_text("A=1")
    record(working, "mailer-1.one.started", "/etc/shop/environment")
    assert not switch(working, "one").run()["changed"]
    working.at("/etc/shop/environment").write_text("A=2")
    (reason,) = switch(working, "one").run()["reasons"]
    assert reason == "/etc/shop/environment changed since process mailer-1 of release one started"
    assert working.told("restart") == [("restart", ONES[0])]


def test_a_process_of_the_live_release_that_does_not_stay_up_is_said_and_left_to_systemd(working: FakeHost) -> None:
    units_on_disk(working, "shop.mailer-3@.service")
    working.dying.add("shop.mailer-3@one.service")
    with pytest.raises(SwitchError, match=r"^Process mailer-3 of release one ended; a process.* Release one serves"):
        switch(working, "one", observe=0.1).run()
    assert processes(working) == [*ONES, "shop.mailer-3@one.service"]
    assert "shop.mailer-3@one.service" in enabled(working)


def test_a_live_release_that_comes_up_again_is_not_withdrawn_for_a_process(working: FakeHost) -> None:
    working.systemctl("stop", "shop@one.service", ONES[0])
    working.dying.add(ONES[0])
    with pytest.raises(SwitchError, match=r"^Process mailer-1 of release one ended; a process.* Release one serves"):
        switch(working, "one", observe=0.1).run()
    assert working.active["shop@one.service"] == "active"
    assert live(working) == "one"


def test_a_restart_is_one_of_the_processes_too_and_a_reload_is_not(working: FakeHost) -> None:
    switch(working, "", state="reloaded").run()
    assert working.told("restart") == []
    switch(working, "", state="restarted").run()
    assert working.told("restart") == [("restart", unit) for unit in ["shop@one.service", *ONES]]


def test_the_release_before_has_its_processes_back_when_the_new_one_is_sick_alone(
    working: FakeHost, answers: list[int]
) -> None:
    answers[:] = [200, 503]
    with pytest.raises(SwitchError, match=r"answers 503 over shop\.socket\. Release one serves"):
        switch(working, "two", health_path="/ready").run()
    assert processes(working) == ONES
    assert enabled(working) == [*ONES, "shop@one.service"]


@pytest.mark.parametrize("killed_after", ["stop", "restart", "enable"])
def test_a_killed_change_over_is_completed(working: FakeHost, killed_after: str) -> None:
    working.active["shop@two.service"] = "active"
    working.systemctl("stop", *ONES)
    if killed_after != "stop":
        working.systemctl("restart", *TWOS)
    if killed_after == "enable":
        working.systemctl("enable", TWOS[0])
    switch(working, "two").run()
    assert processes(working) == TWOS
    assert enabled(working) == [*TWOS, "shop@two.service"]


def test_systemd_reads_its_units_once_for_all_processes(working: FakeHost) -> None:
    working.calls.clear()
    switch(working, "two").run()
    assert working.calls.count(("reads its units", "")) == 1


def test_processes_of_an_app_whose_name_begins_alike_are_left_alone(working: FakeHost) -> None:
    for unit in ("shop-two.mailer-1@one.service", "shop.check@one.service", "shop.run-7.service"):
        working.active[unit] = "active"
    assert not switch(working, "one").run()["changed"]


# The releases that stay


@pytest.fixture
def built(host: FakeHost) -> FakeHost:
    """A host with four releases, of which the last two in the alphabet were built last; `one` is live."""
    for number, release in enumerate(("a", "b", "one", "two")):
        folder = host.at(f"/srv/shop/releases/{release}")
        folder.mkdir(exist_ok=True)
        (folder / "release.json").write_text('{"source": "folder"}')
        os.utime(folder / "release.json", (1000 + number,) * 2)
    switch(host, "one").run()
    return host


def there(host: FakeHost) -> list[str]:
    return sorted(path.name for path in host.at("/srv/shop/releases").iterdir())


@pytest.mark.parametrize(
    ("keep", "stay"), [(0, ["a", "b", "one", "two"]), (1, ["one", "two"]), (3, ["b", "one", "two"])]
)
def test_a_switch_removes_the_oldest_releases(built: FakeHost, keep: int, stay: list[str]) -> None:
    assert switch_module.run(switch(built, "two"), keep)["live"] == "two"
    assert there(built) == stay


def test_a_switch_that_is_refused_removes_them_too(built: FakeHost) -> None:
    built.broken.add("shop@two.service")
    with pytest.raises(SwitchError):
        switch_module.run(switch(built, "two"), 1)
    assert there(built) == ["one"]


def test_where_nothing_is_done_nothing_is_removed(built: FakeHost) -> None:
    switch_module.run(switch(built, "one"), 1)
    assert there(built) == ["a", "b", "one", "two"]


def test_what_cannot_be_removed_does_not_fail_a_switch(built: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> None:
        raise OSError

    monkeypatch.setattr(switch_module.Releases, "prune", refuse)
    assert switch_module.run(switch(built, "two"), 1)["live"] == "two"
