"""The drain with TLS on the connection: asyncio's transports with TLS have no half-closed state, plain ones have."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ENVIRONMENTS, REPOSITORY, Connection, Start, wait_for
from test_drain import PATIENT, RELOADS, echo, end, reload, under_load, websocket

CLOSED_1012 = bytes([0x88, 2]) + struct.pack("!H", 1012)


@pytest.fixture
def with_tls(tmp_path: Path) -> dict[str, Any]:
    """Variables of a Gunicorn that speaks TLS, with a certificate for shop.internal that clients find."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=shop.internal"
    command += f" -addext subjectAltName=DNS:shop.internal -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return {"gunicorn_tls_certificate": str(certificate), "__gunicorn_config_folder": str(tmp_path)}


def test_no_post_is_lost_by_reloads_over_tls(start: Start, with_tls: dict[str, Any]) -> None:
    gunicorn = start(gunicorn_workers=2, **with_tls, **PATIENT)
    loads = under_load(gunicorn)
    for _ in range(RELOADS):
        time.sleep(0.5)
        old = reload(gunicorn)
        wait_for(lambda: not gunicorn.workers() & old)  # noqa: B023
    sent, lost = end(loads, least=201)
    assert lost == []
    assert sent > 200


@pytest.mark.every_version
def test_an_idle_connection_with_tls_gets_its_last_answer_and_is_closed(start: Start, with_tls: dict[str, Any]) -> None:
    gunicorn = start(**with_tls, **PATIENT)
    connection = gunicorn.connection()
    connection.ask("/pid")
    reload(gunicorn)
    answer = connection.ask("/echo", method="POST", body="late")
    assert (answer.status, answer.text, answer.getheader("connection")) == (200, "late", "close")


def test_a_drain_waits_for_handshakes_that_are_under_way() -> None:
    """Uvicorn hears of a connection when its handshake ends, and closes one of which it hears while it shuts down."""
    program = Path(__file__).with_name("handshakes.py")
    folder = REPOSITORY / "roles/gunicorn/files"
    command = [ENVIRONMENTS["newest"] / "bin/python", program, folder]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "made begun: False",
        "made after: False",
        "failed begun: False",
        "failed after: True",
    ], done.stderr


def test_a_connection_whose_handshake_is_under_way_has_its_answer(start: Start, with_tls: dict[str, Any]) -> None:
    gunicorn = start(**with_tls, **PATIENT)
    late = socket.socket(socket.AF_UNIX)
    late.settimeout(30)
    late.connect(str(gunicorn.folder / "http.sock"))
    assert gunicorn.ask("/pid", Connection="close").status == 200, "the worker accepts in turn, so it has both"
    reload(gunicorn)
    context = ssl.create_default_context(cafile=with_tls["gunicorn_tls_certificate"])
    with context.wrap_socket(late, server_hostname="shop.internal") as connection:
        connection.sendall(b"GET /pid HTTP/1.1\r\nHost: shop.internal\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer


def test_a_drain_does_not_wait_for_handshakes_that_have_failed(start: Start, with_tls: dict[str, Any]) -> None:
    gunicorn = start(**with_tls, gunicorn_drain_timeout=600)
    for words in (b"", b"no TLS"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(30)
            stranger.connect(str(gunicorn.folder / "http.sock"))
            stranger.sendall(words)
            stranger.shutdown(socket.SHUT_WR)
            stranger.makefile("rb").read()  # the worker says that it takes no such handshake, and closes
    assert gunicorn.ask("/pid", Connection="close").status == 200
    old = reload(gunicorn)
    wait_for(lambda: not gunicorn.workers() & old)


def ending(connection: Connection, within: float = 30) -> bytes:
    """The last bytes that a client reads who sends all the time. One thread: Python's TLS socket is not for two."""
    frame = bytes([0x81, 0x80 | 100]) + bytes(4) + b"x" * 100
    deadline = time.monotonic() + within
    connection.sock.settimeout(0.002)
    received = b""
    while time.monotonic() < deadline and received != CLOSED_1012:
        try:
            connection.sock.sendall(frame)
            part = connection.sock.recv(65536)
            if part == b"":
                break
            received = (received + part)[-4:]
        except TimeoutError:
            continue
        except OSError as error:
            return repr(error).encode()
    return received


def test_a_websocket_with_tls_gets_1012_and_costs_no_open_request(start: Start, with_tls: dict[str, Any]) -> None:
    gunicorn = start(gunicorn_drain_timeout=1, gunicorn_websocket_grace=1, **with_tls)
    connection = gunicorn.connection()
    websocket(connection)
    assert echo(connection, b"before") == b"before"
    other = gunicorn.begin("/slow?seconds=6")  # longer than the graces of the drain and of the WebSocket
    old = reload(gunicorn)
    assert ending(connection) == CLOSED_1012
    assert other.getresponse().status == 200
    wait_for(lambda: not gunicorn.workers() & old)
    assert "Exception in worker process" not in gunicorn.log(), gunicorn.log()
    assert "SIGKILL" not in gunicorn.log()
