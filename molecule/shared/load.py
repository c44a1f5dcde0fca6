"""Light load from a host, through its Nginx or others, for a block; every answer is checked, nothing is sent twice."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# Seconds that a client waits before its next request: where it keeps its connection, and where it makes a new one
# (ten times the work). At 0.01 they take a core from the deploy that they watch.
PAUSES = "0.01,0.01" if os.environ.get("LONG") else "0.03,0.1"
CLIENT = (Path(__file__).parent / "load_client.py").read_text(encoding="utf-8")

# Nginx closes idle connections of clients when it reloads. Who uses one in that moment has to begin anew (RFC 9112,
# section 9.5); where Nginx is reloaded under load, that is no request lost.
CLOSED = re.compile(r" kept connection: (RemoteDisconnected|BrokenPipe|ConnectionReset|SSLEOFError)")


@dataclass
class Load:
    """What became of the requests, once the block is over."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0  # seconds
    seen: dict[str, int] = field(default_factory=dict)  # answers by the release that gave them


@contextmanager
def load(host: str, name: str, *addresses: str) -> Iterator[Load]:
    """Ask the site `name` until the block ends: on the host itself, or at these addresses of others."""
    client = ["python3", "-c", CLIENT, PAUSES, name, *(addresses or ("127.0.0.1",))]
    command = ["docker", "exec", "--interactive", host, *client]
    result = Load()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield result
        finally:
            output, _ = client.communicate(timeout=60)
        for key, value in json.loads(output).items():
            setattr(result, key, value)
