"""Clients of a site that ask until standard input ends: GET and POST, each over a kept-alive and over new connections.

    load_client.py PAUSES LEAST NAME ADDRESS…

PAUSES are the seconds from one request of a client to its next: of those that keep their connection, and of those that
make a new one, with a comma between them. Those who GET and those who POST take turns, half of that apart.
LEAST is the number of requests that are sent in any case.
Of several addresses each is the first in its turn; where none answers, the next is tried, as clients do with those of
a name. Runs on a test host, so it uses Python's standard library alone.
It reads sockets itself, because http.client takes three times the work, and the hosts of a suite have two cores in all.
"""

import http.client
import json
import math
import select
import socket
import ssl
import sys
import threading
import time


class Connection:
    """A TLS connection to the site."""

    def __init__(self, name: str, addresses: list[str], turn: int, context: ssl.SSLContext) -> None:
        for number, _ in enumerate(addresses, 1):
            try:
                address = (addresses[(turn + number) % len(addresses)], 443)
                reached = socket.create_connection(address, 1 if addresses[1:] else 30)
                break
            except OSError:
                if number == len(addresses):
                    raise
        reached.settimeout(30)
        self.name = name
        self.socket = context.wrap_socket(reached, server_hostname=name)
        self.closing = False  # whether the server said that it closes after this answer

    def ended(self) -> bool:
        """Whether the server has closed it, as every client asks before it uses a connection again."""
        return self.closing or bool(select.select([self.socket], [], [], 0)[0])

    def ask(self, method: str, body: bytes) -> tuple[int, str, bytes]:
        """Return the status, the release that answered, and the body."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.socket.sendall(f"{method} / HTTP/1.1\r\nHost: {self.name}\r\n{length}\r\n".encode() + body)
        got = self.socket.recv(65536)
        if not got:
            raise http.client.RemoteDisconnected("no answer")
        while b"\r\n\r\n" not in got:
            got += self.more()
        head, _, text = got.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        self.closing = headers.get("connection") == "close"
        while len(text) < int(headers["content-length"]):
            text += self.more()
        return int(status.split()[1]), headers.get("x-release", ""), text

    def more(self) -> bytes:
        """Return what comes next of an answer that has begun."""
        got = self.socket.recv(65536)
        if not got:
            raise http.client.IncompleteRead(got)
        return got


class Clients:
    """The four clients, and what became of their requests."""

    def __init__(self, kept_pause: float, new_pause: float, least: int, name: str, addresses: list[str]) -> None:
        self.pauses = {True: kept_pause, False: new_pause}
        self.least, self.name, self.addresses = least, name, addresses
        self.context = ssl._create_unverified_context()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.failed: list[str] = []
        self.seen: dict[str, int] = {}
        self.sent = 0
        self.begun = 0  # connections of those who keep theirs
        self.longest = 0.0

    def client(self, method: str, kept: bool) -> None:
        """Ask until it is over, and enough has been asked."""
        connection: Connection | None = None
        number, pause = 0, self.pauses[kept]
        due = time.monotonic() + (pause / 2 if method == "POST" else 0)
        while not self.over.wait(max(0.0, due - time.monotonic())) or self.sent < self.least:
            time.sleep(max(0.0, due - time.monotonic()))
            number += 1
            began, problem, release = time.monotonic(), "", ""
            body = f"{method} {kept} {number}".encode() * 50 if method == "POST" else b""
            try:
                if connection and connection.ended():
                    connection.socket.close()
                    connection = None
                if not connection:
                    self.begun += kept
                    connection = Connection(self.name, self.addresses, number, self.context)
                status, release, text = connection.ask(method, body)
                if status != 200:
                    problem = f"{status} {text[:200]!r}"
                elif method == "POST" and text != body:
                    problem = "another body"
                elif method == "GET" and json.loads(text)["release"] != release:
                    problem = "another release"
                if not kept:
                    connection.socket.close()
                    connection = None
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                problem, connection = repr(error), None
            with self.lock:
                self.sent += 1
                self.longest = max(self.longest, time.monotonic() - began)
                self.seen[release] = self.seen.get(release, 0) + 1
                if problem:
                    self.failed.append(f"{method} {'kept' if kept else 'new'} connection: {problem}")
            # Who had to wait for longer keeps its turn.
            due += pause * max(1, math.ceil((time.monotonic() - due) / pause))


def main() -> None:
    """Run the clients, and print what became of their requests."""
    pauses, least, name, *addresses = sys.argv[1:]
    kept, new = (float(pause) for pause in pauses.split(","))
    clients = Clients(kept, new, int(least), name, addresses)
    threads = [threading.Thread(target=clients.client, args=(m, k)) for m in ("GET", "POST") for k in (True, False)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    clients.over.set()
    for thread in threads:
        thread.join()
    print(json.dumps({key: getattr(clients, key) for key in ("sent", "begun", "failed", "longest", "seen")}))


main()
