"""Asks the sites of others on a host: once, or until standard input ends, and then whether each answer was as expected.

Run on the host: theirs.py, or theirs.py EXPECTED with the JSON that the first prints. The standard library is enough.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import json
import select
import socket
import ssl
import sys
import threading
import time
from typing import Any

# Scheme, name and path. The last names are those of no site.
ASKED = [
    ("http", "legacy.example.org", "/"),
    ("http", "legacy.example.org", "/missing"),
    ("http", "legacy.example.org", "/old"),
    ("http", "nobody.example.net", "/"),
    ("http", "", "/"),
    ("https", "secure.example.org", "/"),
    ("https", "secure.example.org", "/proxied"),
    ("https", "secure.example.org", "/gone"),
    ("https", "nobody.example.net", "/"),
    ("handshake", "secure.example.org", ""),
    ("handshake", "nobody.example.net", ""),
]
# Seconds from one request of a client to its next. Each site has two clients, half of that apart.
PAUSE = 0.4
# Requests that each client sends, where what it watches is over before.
LEAST = 5
# What changes with every answer, and what a worker that a reload ends says to its clients.
VARYING = ("date", "connection")


@functools.cache
def context(*protocols: str) -> ssl.SSLContext:
    """Trust everybody, and offer these protocols; without reading the system's authorities, which takes 40 ms."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made


def connect(scheme: str, name: str) -> http.client.HTTPConnection:
    """Connect to the host itself."""
    connection = http.client.HTTPConnection(name or "127.0.0.1", timeout=20)
    connection.sock = socket.create_connection(("127.0.0.1", 80 if scheme == "http" else 443), 20)
    if scheme == "https":
        connection.sock = context().wrap_socket(connection.sock, server_hostname=name)
    return connection


def request(connection: http.client.HTTPConnection, name: str, path: str) -> list[Any]:
    """The status, the headers and the body of the answer to a GET."""
    connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", name)
    connection.endheaders()
    answer = connection.getresponse()
    headers = [[key, value] for key, value in answer.getheaders() if key.lower() not in VARYING]
    return [answer.version, answer.status, headers, answer.read().decode("latin-1")]


def shake_hands(name: str) -> list[Any]:
    """The version of TLS, the protocol and the certificate that a client gets that can do all."""
    with context("h2", "http/1.1").wrap_socket(
        socket.create_connection(("127.0.0.1", 443), 20), server_hostname=name
    ) as connection:
        certificate = hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()
        return [connection.version(), connection.selected_alpn_protocol(), certificate]


def once(scheme: str, name: str, path: str) -> list[Any]:
    """An answer over a new connection."""
    if scheme == "handshake":
        return shake_hands(name)
    connection = connect(scheme, name)
    try:
        return request(connection, name, path)
    finally:
        connection.close()


class Client:
    """Asks the same again and again, over new connections or over a kept one."""

    def __init__(self, asked: tuple[str, str, str], expected: list[Any], *, kept: bool) -> None:
        """`expected` is the answer."""
        self.asked, self.expected, self.kept = asked, expected, kept
        self.sent, self.failed = 0, []
        self.connection: http.client.HTTPConnection | None = None

    def answer(self) -> list[Any]:
        """An answer; one that a kept connection did not bring is asked for again, as clients do."""
        scheme, name, path = self.asked
        if not self.kept:
            return once(*self.asked)
        if self.connection and (not self.connection.sock or select.select([self.connection.sock], [], [], 0)[0]):
            self.connection = None
        if self.connection:
            try:
                return request(self.connection, name, path)
            except (OSError, http.client.HTTPException):
                pass
        self.connection = connect(scheme, name)
        return request(self.connection, name, path)

    def run(self, over: threading.Event) -> None:
        """Ask until it is over, and `LEAST` times also where it is over soon or the host is slow."""
        due = time.monotonic() + self.kept * PAUSE / 2
        while not over.wait(max(0.0, due - time.monotonic())) or self.sent < LEAST:
            try:
                found = self.answer()
            except (OSError, http.client.HTTPException) as error:
                found, self.connection = [repr(error)], None
            self.sent += 1
            if found != self.expected:
                self.failed.append([self.asked, found])
            due = max(due + PAUSE, time.monotonic())


def main() -> None:
    """Ask once, or until the end of standard input."""
    if len(sys.argv) == 1:
        print(json.dumps([once(*asked) for asked in ASKED]))
        return
    pairs = list(zip(ASKED, json.loads(sys.argv[1]), strict=True))
    clients = [Client(*pair, kept=False) for pair in pairs]
    clients += [Client(*pair, kept=True) for pair in pairs if pair[0][0] != "handshake"]
    over = threading.Event()
    threads = [threading.Thread(target=client.run, args=[over]) for client in clients]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    failed = [each for client in clients for each in client.failed]
    print(json.dumps({"sent": [client.sent for client in clients], "failed": failed}))


if __name__ == "__main__":
    main()
