"""A worker that has to go loses no request; the plain worker, in the same harness, does."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import signal
import struct
import threading
import time
from pathlib import Path

import pytest
from conftest import Connection, Gunicorn, Start, wait_for

PLAIN = "uvicorn_worker.UvicornWorker"
# How often a worker goes under load; LONG=1 is the form that is run before a version.
RELOADS = 20 if os.environ.get("LONG") else 2
# A client that the machine does not let run must not be taken for one that has left.
PATIENT = {"gunicorn_drain_timeout": 20}


class Load(threading.Thread):
    """POSTs over one kept-alive connection, each sent once, and trusted to be open unless the last answer closed it.

    Nginx looks first whether it was closed, and loses only what it sends in that moment; this makes the moment long.
    """

    def __init__(self, gunicorn: Gunicorn, pause: float) -> None:
        super().__init__(daemon=True)
        self.connection = Connection(gunicorn.folder / "http.sock", timeout=30)
        self.pause = pause
        self.over = threading.Event()
        self.sent = 0
        self.lost: list[str] = []

    def run(self) -> None:
        while not self.over.is_set():
            self.sent += 1
            try:
                answer = self.connection.ask("/echo", method="POST", body="x" * 100)
                if answer.status != 200 or answer.text != "x" * 100:
                    self.lost.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                self.connection.close()
            self.over.wait(self.pause)


def under_load(gunicorn: Gunicorn, threads: int = 8) -> list[Load]:
    # Different paces, so that some connections are busy and others idle whenever a worker goes.
    loads = [Load(gunicorn, pause=0.001 * 2**number) for number in range(threads)]
    for load in loads:
        load.start()
    return loads


def end(loads: list[Load], least: int = 0) -> tuple[int, list[str]]:
    """End the load when at least so many requests were sent; returns their number, and what became of the lost ones."""
    wait_for(lambda: sum(load.sent for load in loads) >= least)
    for load in loads:
        load.over.set()
    for load in loads:
        load.join(timeout=40)
    return sum(load.sent for load in loads), [loss for load in loads for loss in load.lost]


def reload(gunicorn: Gunicorn, *, lossy: bool = False) -> set[int]:
    """HUP, and wait until new workers alone accept; returns the old ones. A `lossy` worker may drop who asks."""
    old = gunicorn.workers()

    def new_ones_answer() -> bool:
        try:
            return all(int(gunicorn.ask("/pid", Connection="close").text) not in old for _ in range(5))
        except OSError:
            if lossy:
                return False
            raise

    gunicorn.signal(signal.SIGHUP)
    wait_for(lambda: gunicorn.workers() - old)
    wait_for(new_ones_answer)
    return old


@pytest.mark.every_version
def test_no_post_is_lost_by_reloads(start: Start) -> None:
    gunicorn = start(gunicorn_workers=2, **PATIENT)
    loads = under_load(gunicorn)
    for _ in range(RELOADS):
        time.sleep(0.5)
        old = reload(gunicorn)
        wait_for(lambda: not gunicorn.workers() & old)  # noqa: B023
    sent, lost = end(loads, least=501)
    assert lost == []
    assert sent > 500


def test_the_plain_worker_loses_some(start: Start) -> None:
    """The same load, to show that it would tell."""
    gunicorn = start(gunicorn_workers=2, worker_class=PLAIN)
    gunicorn.ask("/pid")
    loads = under_load(gunicorn)
    time.sleep(0.5)
    old = reload(gunicorn, lossy=True)
    wait_for(lambda: not gunicorn.workers() & old)
    assert end(loads)[1] != []


def test_no_post_is_lost_by_recycled_workers(start: Start) -> None:
    gunicorn = start(gunicorn_workers=2, gunicorn_max_requests=200, gunicorn_max_requests_jitter=50, **PATIENT)
    seen = gunicorn.workers()

    def several_have_gone() -> bool:
        seen.update(gunicorn.workers())
        return len(seen) >= 2 + 2 * RELOADS

    loads = under_load(gunicorn)
    wait_for(several_have_gone, within=60 * RELOADS)
    assert end(loads)[1] == []


def early_answer(connection: Connection) -> bytes:
    """The whole answer, in lower case, to a request of which the body is still to come."""
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.sock.recv(65536).lower()
    return answer


@pytest.mark.every_version
def test_an_answer_that_comes_before_the_body_lets_the_body_come_in(start: Start) -> None:
    gunicorn = start(**PATIENT)
    connection = gunicorn.connection()
    connection.ask("/pid")
    reload(gunicorn)
    time.sleep(0.5)  # the old worker has heard of it, and does not close the connection yet
    connection.sock.sendall(b"POST /pid HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
    answer = early_answer(connection)
    assert b" 405 " in answer
    assert b"connection: close" in answer
    time.sleep(0.2)
    connection.sock.sendall(b"y")  # a closed connection would be a broken pipe
    assert connection.closed_by_server(within=30)


def test_a_body_that_never_comes_does_not_keep_a_connection(start: Start) -> None:
    connection = start().connection()
    connection.connect()
    head = b"POST /pid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    connection.sock.sendall(head)
    assert b" 405 " in early_answer(connection)
    assert connection.closed_by_server(within=30)


@pytest.mark.every_version
def test_an_idle_connection_outlives_the_call_to_stop(start: Start) -> None:
    gunicorn = start(**PATIENT)
    connection = gunicorn.connection()
    connection.ask("/pid")
    reload(gunicorn)
    assert not connection.closed_by_server(within=1)
    answer = connection.ask("/echo", method="POST", body="late")
    assert (answer.status, answer.text, answer.getheader("connection")) == (200, "late", "close")


def test_the_plain_worker_closes_it_under_the_client(start: Start) -> None:
    """The fault that the drain mends, shown by the same means."""
    gunicorn = start(worker_class=PLAIN)
    connection = gunicorn.connection()
    connection.ask("/pid")
    reload(gunicorn, lossy=True)
    assert connection.closed_by_server(within=30)


def test_drain_timeout_bounds_the_wait_for_idle_connections(start: Start) -> None:
    gunicorn = start(gunicorn_drain_timeout=4, gunicorn_keepalive=600)
    connection = gunicorn.connection()
    connection.ask("/pid")
    began = time.monotonic()
    old = reload(gunicorn)
    assert connection.closed_by_server(within=60), "only the drain's end closes it so soon"
    assert time.monotonic() - began >= 4
    wait_for(lambda: not gunicorn.workers() & old)


def test_an_open_request_is_answered(start: Start) -> None:
    gunicorn = start(gunicorn_drain_timeout=1, gunicorn_timeout=5)
    connection = gunicorn.begin("/slow?seconds=8")  # longer than drain and heartbeat
    reload(gunicorn)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    assert "WORKER TIMEOUT" not in gunicorn.log()


@pytest.mark.every_version
def test_a_recycled_worker_answers_its_open_request_and_is_not_taken_for_hung(start: Start) -> None:
    gunicorn = start(gunicorn_max_requests=1, gunicorn_max_requests_jitter=0, gunicorn_timeout=5)
    connection = gunicorn.begin("/slow?seconds=8")
    gunicorn.ask("/pid")
    assert connection.getresponse().status == 200
    assert "WORKER TIMEOUT" not in gunicorn.log()


@pytest.mark.every_version
def test_graceful_timeout_bounds_an_endless_answer(start: Start) -> None:
    gunicorn = start(gunicorn_drain_timeout=1, gunicorn_websocket_grace=1, gunicorn_graceful_timeout=1)
    connection = gunicorn.connection()
    connection.request("GET", "/endless")
    answer = connection.getresponse()
    assert answer.read(5) == b"tick\n"
    old = reload(gunicorn)
    wait_for(lambda: not gunicorn.workers() & old)
    with pytest.raises(http.client.HTTPException):
        answer.read()
    assert "SIGKILL" not in gunicorn.log()


@pytest.mark.every_version
def test_a_stop_answers_open_requests_and_ends_the_lifespan(start: Start, tmp_path: Path) -> None:
    gunicorn = start()
    (worker,) = gunicorn.workers()
    connection = gunicorn.begin("/slow?seconds=1")
    gunicorn.signal(signal.SIGTERM)
    assert connection.getresponse().status == 200
    assert gunicorn.process.wait(timeout=60) == 0
    assert (tmp_path / f"ended-{worker}").exists()


@pytest.mark.every_version
def test_sigquit_waits_for_nobody(start: Start) -> None:
    gunicorn = start()
    gunicorn.begin("/slow?seconds=600")
    gunicorn.signal(signal.SIGQUIT)
    assert gunicorn.process.wait(timeout=60) == 0


def websocket(connection: Connection) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    connection.connect()
    connection.sock.sendall(
        f"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert connection.sock.recv(4096).startswith(b"HTTP/1.1 101")


def echo(connection: Connection, text: bytes) -> bytes:
    masked = bytes(byte ^ mask for byte, mask in zip(text, b"abcd" * len(text), strict=False))
    connection.sock.sendall(bytes([0x81, 0x80 | len(text)]) + b"abcd" + masked)
    return frame(connection)[2:]


def frame(connection: Connection) -> bytes:
    """The next frame that the server sends, but for its pings, which come every 20 s."""
    received = connection.sock.recv(4096)
    while received.startswith(b"\x89"):
        received = received[2 + received[1] :] or connection.sock.recv(4096)
    return received


def test_a_websocket_works_on_until_its_grace_ends_and_gets_1012(start: Start) -> None:
    grace = 20
    gunicorn = start(gunicorn_drain_timeout=1, gunicorn_websocket_grace=grace)
    connection = gunicorn.connection(timeout=60)
    websocket(connection)
    assert echo(connection, b"before") == b"before"
    began = time.monotonic()
    reload(gunicorn)
    assert echo(connection, b"after") == b"after"
    close = frame(connection)
    assert struct.unpack("!H", close[2:4]) == (1012,)
    assert time.monotonic() - began >= grace


@pytest.mark.every_version
def test_a_client_that_sends_all_the_time_still_reads_why_its_websocket_ends(start: Start) -> None:
    gunicorn = start(gunicorn_drain_timeout=1, gunicorn_websocket_grace=1)
    talkers = [gunicorn.connection() for _ in range(20)]
    for talker in talkers:
        websocket(talker)
    over = threading.Event()

    def talk(connection: Connection) -> None:
        frame = bytes([0x81, 0x80 | 100]) + bytes(4) + b"x" * 100
        with contextlib.suppress(OSError):
            while not over.is_set():
                connection.sock.sendall(frame)
                time.sleep(0.0005)

    threads = [threading.Thread(target=talk, args=(talker,), daemon=True) for talker in talkers]
    for thread in threads:
        thread.start()
    gunicorn.signal(signal.SIGTERM)
    endings = []
    for talker in talkers:
        received = b""
        try:
            while part := talker.sock.recv(65536):
                received = (received + part)[-4:]
            endings.append(received)
        except OSError as error:
            endings.append(repr(error).encode())
    over.set()
    assert endings == [bytes([0x88, 2]) + struct.pack("!H", 1012)] * len(talkers)
