"""Every setting of Gunicorn that the role publishes has an effect in the worker."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from conftest import Start, wait_for


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1.1 (\d+)", answer)
    return int(found[1]) if found else 0


@pytest.mark.every_version
def test_request_line(start: Start) -> None:
    gunicorn = start(gunicorn_limit_request_line=100)
    fitting = "/pid?" + "x" * (100 - len("GET /pid? HTTP/1.1"))
    assert gunicorn.ask(fitting).status == 200
    assert gunicorn.ask(fitting + "x").status == 414


@pytest.mark.every_version
def test_number_of_headers(start: Start) -> None:
    gunicorn = start(gunicorn_limit_request_fields=10)
    few = {f"x-{number}": "1" for number in range(8)}  # with Host and Accept-Encoding: 10
    assert gunicorn.ask("/pid", **few).status == 200
    answer = gunicorn.ask("/pid", **few, one_more="1")
    assert (answer.status, answer.getheader("connection")) == (431, "close")


def test_size_of_a_header(start: Start) -> None:
    gunicorn = start(gunicorn_limit_request_field_size=200)
    assert gunicorn.ask("/pid", x="1" * (200 - len("x: "))).status == 200
    assert gunicorn.ask("/pid", x="1" * (200 - len("x: ") + 1)).status == 431


@pytest.mark.every_version
def test_a_head_without_end_is_refused(start: Start) -> None:
    gunicorn = start(gunicorn_limit_request_fields=10, gunicorn_limit_request_field_size=1000)
    endless = b"GET /pid HTTP/1.1\r\nhost: localhost\r\nx: " + b"1" * 50_000
    assert status(gunicorn.raw(endless)) == 431
    assert status(gunicorn.raw(b"GET /" + b"1" * 50_000)) == 414


def test_limits_hold_for_each_request_of_a_connection(start: Start) -> None:
    connection = start(gunicorn_limit_request_line=100).connection()
    assert connection.ask("/pid").status == 200
    assert connection.ask("/echo", method="POST", body="x" * 100_000).status == 200
    assert connection.ask("/" + "x" * 100).status == 414


def test_what_is_not_http_gets_400(start: Start) -> None:
    assert status(start().raw(b"hello\r\n\r\n")) == 400


@pytest.mark.every_version
def test_concurrent_connections(start: Start) -> None:
    gunicorn = start(gunicorn_worker_connections=2)
    held = [gunicorn.connection() for _ in range(2)]
    assert [connection.ask("/pid").status for connection in held] == [200, 200]
    assert gunicorn.ask("/pid").status == 503
    held[0].close()
    wait_for(lambda: gunicorn.ask("/pid").status == 200)


def test_keepalive(start: Start) -> None:
    connection = start(gunicorn_keepalive=10).connection()
    began = time.monotonic()
    connection.ask("/pid")
    assert connection.closed_by_server(within=60), "Gunicorn's own 75 seconds are longer"
    assert time.monotonic() - began >= 10, "Uvicorn's own 5 seconds are shorter"


def test_backlog(start: Start) -> None:
    gunicorn = start(gunicorn_backlog=3)
    processes = [gunicorn.process.pid, *gunicorn.workers()]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)  # nobody accepts
    waiting: list[socket.socket] = []
    try:
        full = False
        while not full and len(waiting) < 20:
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            full = waiting[-1].connect_ex(str(gunicorn.folder / "http.sock")) == errno.EAGAIN
        assert len(waiting) == 3 + 2  # Linux holds one more than asked for; the last one did not get in
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        for client in waiting:
            client.close()


def test_timeout_ends_a_blocked_event_loop_only(start: Start) -> None:
    gunicorn = start(gunicorn_timeout=5)
    (before,) = gunicorn.workers()
    assert gunicorn.ask("/slow?seconds=8").status == 200
    assert gunicorn.workers() == {before}
    with pytest.raises(OSError):  # noqa: PT011
        gunicorn.ask("/block")
    wait_for(lambda: "WORKER TIMEOUT" in gunicorn.log())
    wait_for(lambda: int(gunicorn.ask("/pid").text) != before)


@pytest.mark.every_version
@pytest.mark.parametrize(("trusted", "expected"), [(["*"], "203.0.113.9"), (["192.0.2.1"], "")])
def test_only_trusted_proxies_name_the_client(start: Start, trusted: list[str], expected: str) -> None:
    gunicorn = start(gunicorn_trusted_proxies=trusted)
    assert gunicorn.ask("/client", **{"X-Forwarded-For": "203.0.113.9"}).text == f'"{expected}"'


@pytest.mark.parametrize("access_log", [True, False])
def test_access_log(start: Start, access_log: bool) -> None:
    gunicorn = start(gunicorn_access_log=access_log)
    gunicorn.ask("/pid")
    gunicorn.stop()
    assert ('"GET /pid HTTP/1.1" 200' in gunicorn.log()) is access_log


def test_log_level(start: Start) -> None:
    quiet = start()
    quiet.stop()
    assert "Listening at" not in quiet.log()
    talkative = start(gunicorn_log_level="info")
    talkative.stop()
    assert "Listening at" in talkative.log()


@pytest.mark.every_version
def test_loop_and_parser(start: Start) -> None:
    gunicorn = start()
    (pid,) = gunicorn.workers()
    loaded = Path(f"/proc/{pid}/maps").read_text()
    assert "uvloop/loop" in loaded
    assert "httptools/parser" in loaded


def test_number_of_workers(start: Start) -> None:
    gunicorn = start(gunicorn_workers=3)
    wait_for(lambda: len(gunicorn.workers()) == 3)


def test_what_the_role_sets_is_refused_in_a_sentence(start: Start) -> None:
    gunicorn = start(gunicorn_extra_config="threads = 8\nreload = True\nworkers = 9", wait=False)
    assert gunicorn.process.wait(timeout=60) == 1
    assert gunicorn.log() == (
        "gunicorn_extra_config sets reload, threads, workers, which the role gunicorn sets itself; take these lines "
        "out, and use the variables of the role where it has one.\n"
    )
