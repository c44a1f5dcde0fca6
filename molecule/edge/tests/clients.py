"""Clients of the site, on the host itself, from addresses of 127.0.0.0/8; 127.0.0.0/16 is not limited."""

import json
import subprocess
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from asking import name_of, on

# Programs on each host that wait for the next wish: most of what a request costs is to start a Python with TLS.
IDLE: dict[str, list[subprocess.Popen[str]]] = defaultdict(list)


@dataclass
class Answer:
    """What one request got; times are seconds of the host's clock."""

    status: int
    headers: dict[str, str]
    body: str
    began: float
    ended: float
    first: float = field(default=0.0)

    def json(self) -> Any:
        """The body, which says that it is JSON."""
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)


def asked(host, path, **wish):
    """What became of every request; `clients`, `seconds` and `pause` say how many there are, see app/client.py."""
    client = idle(name_of(host))
    print(json.dumps({"path": path, **wish}), file=client.stdin, flush=True)
    answers = [Answer(**answer) for answer in json.loads(client.stdout.readline())]
    IDLE[name_of(host)].append(client)
    return answers


def idle(name):
    """A client that nobody uses; those of before a restart of the host have ended with it."""
    while IDLE[name]:
        client = IDLE[name].pop()
        if client.poll() is None:
            return client
    command = ["docker", "exec", "--interactive", name, "python3", "/srv/edge/client.py"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(host, path, **wish):
    """The answer to one request."""
    return asked(host, path, **wish)[0]


def statuses(answers):
    """How often there was each status."""
    return Counter(answer.status for answer in answers)


def p99(answers):
    """The time below which 99 of 100 answers stayed, in seconds."""
    times = sorted(answer.ended - answer.began for answer in answers)
    return times[int(len(times) * 0.99)]


def log_of(host, answer):
    """The line of the access log about an answer; Nginx writes it within five seconds, or when told to."""
    on(host, "nginx -s reopen")
    time.sleep(0.5)
    return json.loads(on(host, "grep -h %s /var/log/nginx/access.log", answer.headers["x-request-id"]))
