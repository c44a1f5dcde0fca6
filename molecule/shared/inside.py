"""The hosts of a scenario, as tests see them from inside.

A `docker exec` starts four programs and takes a tenth of a second of the processors, and a scenario asks hundreds
of times. So one Python in each host runs the commands of all tests, with what `docker exec` would give each of them.
"""

import base64
import json
import subprocess
from typing import Any

import testinfra.host
from testinfra.backend.base import CommandResult
from testinfra.backend.docker import DockerBackend

# Into files and not into pipes: what a command leaves in the background may keep those open.
SERVE = """
import base64, json, subprocess, sys, tempfile
for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = ["/bin/sh", "-c", base64.b64decode(line)]
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err).returncode
        printed = [(file.seek(0), base64.b64encode(file.read()).decode())[1] for file in (out, err)]
    print(json.dumps([code if code >= 0 else 128 - code, *printed]), flush=True)
"""
KILLED = 137  # what `docker exec` returns when the host has ended meanwhile


class Session:
    """One Python in a host."""

    def __init__(self, host: str) -> None:
        """Start it in the host of this name."""
        command = ["docker", "exec", "--interactive", host, "python3", "-c", SERVE]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, command: bytes) -> tuple[int, bytes, bytes]:
        """Return how a command ended, and what it printed."""
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        try:
            self.process.stdin.write(base64.b64encode(command).decode() + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            said = self.process.stderr.read()
            return self.process.wait() or KILLED, b"", said.encode()
        code, out, err = json.loads(answer)
        return code, base64.b64decode(out), base64.b64decode(err)


IDLE: dict[str, list[Session]] = {}


class Inside(DockerBackend):  # type: ignore[misc]  # testinfra ships no types
    """Runs a command in a session that no other thread uses."""

    def run(self, command: str, *args: str, **_kwargs: Any) -> CommandResult:
        """Return what the command did."""
        shell = self.encode(self.get_command(command, *args))
        idle = IDLE.setdefault(self.name, [])
        session = idle.pop() if idle else Session(self.name)
        # The host was restarted since then.
        if session.process.poll() is not None:
            session = Session(self.name)
        code, out, err = session.run(shell)
        if session.process.poll() is None:
            idle.append(session)
        return self.result(code, shell, out, err)


def host_in(name: str) -> testinfra.host.Host:
    """Return the host of this name."""
    return testinfra.host.Host(Inside(name))
