"""Every answer says which release gave it, so that a client of a deploy can tell the old from the new."""

from __future__ import annotations

import base64
import os

import pytest
from conftest import Gunicorn, Start

RELEASE = {"PRODUCTION_FASTAPI_RELEASE": "4f2a9c01d3e5-8b1c2d3e"}


def handshake(gunicorn: Gunicorn) -> str:
    """The head of the answer to a WebSocket's handshake."""
    connection = gunicorn.connection()
    connection.connect()
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sock.sendall(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return connection.sock.recv(65536).decode().lower()


def test_every_answer_names_its_release(start: Start) -> None:
    gunicorn = start(environment=RELEASE)
    for target in ("/pid", "/missing"):
        assert gunicorn.ask(target).headers.get_all("X-Release") == ["4f2a9c01d3e5-8b1c2d3e"]


@pytest.mark.every_version
def test_a_websocket_handshake_does_too(start: Start) -> None:
    head = handshake(start(environment=RELEASE))
    assert head.startswith("http/1.1 101 ")
    assert head.count("x-release: 4f2a9c01d3e5-8b1c2d3e\r\n") == 1


def test_an_app_without_releases_sends_none(start: Start) -> None:
    assert start(environment={"PRODUCTION_FASTAPI_RELEASE": ""}).ask("/pid").getheader("X-Release") is None


def test_release_header_has_another_name_or_none(start: Start) -> None:
    named = start(environment=RELEASE, gunicorn_extra_config='Worker.release_header = "X-Version"').ask("/pid")
    assert (named.getheader("X-Version"), named.getheader("X-Release")) == ("4f2a9c01d3e5-8b1c2d3e", None)


def test_an_empty_release_header_is_not_sent(start: Start) -> None:
    answer = start(environment=RELEASE, gunicorn_extra_config='Worker.release_header = ""').ask("/pid")
    assert RELEASE["PRODUCTION_FASTAPI_RELEASE"] not in answer.headers.values()
