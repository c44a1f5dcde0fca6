"""Clients of the cluster demo: they ask every load balancer all the time, and tell at the end what became of it.

    demo_load.py MARKS REPORT DOMAIN PORT…

Each PORT of 127.0.0.1 is a load balancer's TLS port. Runs until its input ends. MARKS is a file to which somebody else
appends a line `TIME NAME` for each phase that begins. Nothing is sent twice, and every answer is checked.
"""

import hashlib
import http.client
import json
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PAUSE = 0.02
TIMEOUT = 15.0
CONTEXT = ssl._create_unverified_context()  # noqa: S323 - the demo's certificates are self-signed


@dataclass
class Seen:
    """What became of the requests of a phase."""

    requests: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    longest: float = 0.0
    hosts: dict[str, int] = field(default_factory=dict)


def connect(domain: str, port: int) -> http.client.HTTPSConnection:
    """A connection to the load balancer at `port`, for `domain`."""
    connection = http.client.HTTPSConnection(domain, context=CONTEXT, timeout=TIMEOUT)
    raw = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.sock = CONTEXT.wrap_socket(raw, server_hostname=domain)
    return connection


class Client(threading.Thread):
    """One client: GET or POST, over one connection or a new one each time."""

    def __init__(self, domain: str, port: int, method: str, *, kept: bool) -> None:
        super().__init__(daemon=True)
        self.domain, self.port, self.method, self.kept = domain, port, method, kept
        self.over = threading.Event()
        self.answers: list[tuple[float, float, str, str]] = []

    def run(self) -> None:
        """Ask until it is over."""
        connection = None
        number = 0
        while not self.over.is_set():
            number += 1
            began, host, problem = time.time(), "", ""
            try:
                connection = connection or connect(self.domain, self.port)
                host, problem = self.ask(connection, f"{number} ".encode() * 100)
                if not self.kept or connection.sock is None:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem, connection = f"{self.method} {type(error).__name__}", None
            self.answers.append((began, time.time() - began, host, problem))
            self.over.wait(PAUSE)

    def ask(self, connection: http.client.HTTPSConnection, body: bytes) -> tuple[str, str]:
        """Which host answered, and what was wrong with the answer."""
        if self.method == "POST":
            connection.request("POST", "/api/upload", body, {"Content-Type": "application/octet-stream"})
        else:
            connection.request("GET", "/api/build")
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.HTTPStatus.OK:
            return "", f"{self.method} {answer.status}"
        told = json.loads(text)
        if self.method == "POST" and told != {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}:
            return "", "POST another body"
        return answer.getheader("X-Answered-By", "").partition("/")[0], ""


def report(clients: list[Client], marks: list[tuple[float, str]]) -> str:
    """A line for each phase, and one for all."""
    phases = {name: Seen() for _time, name in marks}
    for began, took, host, problem in (answer for client in clients for answer in client.answers):
        name = next((name for at, name in reversed(marks) if at <= began), marks[0][1])
        seen = phases[name]
        seen.requests += 1
        seen.longest = max(seen.longest, took)
        if problem:
            seen.failed[problem] = seen.failed.get(problem, 0) + 1
        else:
            seen.hosts[host] = seen.hosts.get(host, 0) + 1
    lines = [f"  {'':34}{'requests':>9}{'lost':>6}{'longest':>9}   answered by"]
    for name, seen in phases.items():
        shares = ", ".join(f"{host} {count}" for host, count in sorted(seen.hosts.items()))
        lost = sum(seen.failed.values())
        lines.append(f"  {name:34}{seen.requests:9,}{lost:6}{seen.longest:7.2f} s   {shares}")
        lines += [f"  {'':34}{'':9}{count:6}  {problem}" for problem, count in seen.failed.items()]
    everything = sum(seen.requests for seen in phases.values())
    lost = sum(count for seen in phases.values() for count in seen.failed.values())
    return "\n".join([*lines, f"  {'all':34}{everything:9,}{lost:6}"])


def main() -> None:
    """Ask, then report."""
    marks, result, domain, *ports = sys.argv[1:]
    clients = [
        Client(domain, int(port), method, kept=kept)
        for port in ports
        for method in ("GET", "POST")
        for kept in (True, False)
    ]
    for client in clients:
        client.start()
    sys.stdin.read()
    for client in clients:
        client.over.set()
    for client in clients:
        client.join(2 * TIMEOUT)
    told = [line.split(" ", 1) for line in Path(marks).read_text().splitlines()]
    Path(result).write_text(report(clients, [(float(at), name) for at, name in told]) + "\n")


if __name__ == "__main__":
    main()
