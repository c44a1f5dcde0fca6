"""Light load from a host, through its Nginx or others, for a block; every answer is checked, nothing is sent twice."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# Seconds from one request of a client to its next: where it keeps its connection, and where it makes a new one (several
# times the work). There are two clients of each kind, half of that apart: so a request begins every 0.025 s, and a
# connection every 0.1 s. At 0.01 they take a core from the deploy that they watch; at 0.03 and 0.1 a seventh of one.
PAUSES = (0.01, 0.01) if os.environ.get("LONG") else (0.05, 0.2)
# How much slower clients ask while something is refused before anything switches: nothing could come between them.
CALM = 1 if os.environ.get("LONG") else 2
CLIENT = (Path(__file__).parent / "load_client.py").read_text(encoding="utf-8")

# Nginx closes idle connections of clients when it reloads. Who uses one in that moment has to start again (RFC 9112,
# section 9.5); where Nginx is reloaded under load, that is not a lost request.
CLOSED = re.compile(r" kept connection: (RemoteDisconnected|BrokenPipe|ConnectionReset|SSLEOFError)")


@dataclass
class Load:
    """What became of the requests, once the block is over."""

    sent: int = 0
    begun: int = 0  # connections that were to be kept
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0  # seconds
    seen: dict[str, int] = field(default_factory=dict)  # answers by the release that gave them


@contextmanager
def load(host: str, name: str, *addresses: str, slower: int = 1, least: int = 51) -> Iterator[Load]:
    """Ask the site `name` until the block ends: on the host itself, or at these addresses of others.

    On a busy machine fewer than the `least` requests may be sent by then; so the block ends when they are.

    `slower` is by how much the pauses are longer, as where several load balancers are asked for the same servers.
    """
    pauses = ",".join(str(pause * slower) for pause in PAUSES)
    client = ["python3", "-c", CLIENT, pauses, str(least), name, *(addresses or ("127.0.0.1",))]
    command = ["docker", "exec", "--interactive", host, *client]
    result = Load()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield result
        finally:
            output, _ = client.communicate(timeout=120)
        for key, value in json.loads(output).items():
            setattr(result, key, value)
