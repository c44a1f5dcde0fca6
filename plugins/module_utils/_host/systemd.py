# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host as the modules see it that run releases: its files, its units and their logs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._host.masking import mask, secrets_on_host

UNIT_FOLDER = "/etc/systemd/system"
LOG_LINES = 15
LOG_LINE_LENGTH = 400

# When two workers fail together Gunicorn adds tracebacks of its own, which push out what the app has said.
OF_GUNICORN_ITSELF = re.compile(
    r"^(During handling of the above exception, another exception occurred:\n+)?"
    r"Traceback \(most recent call last\):\n(?:[ \t].*\n)+gunicorn\.errors\.HaltServer: .*\n*",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Host:
    """What the switch reads and does on a host; tests give it another root and another `systemctl`."""

    root: Path = Path("/")

    def systemctl(self, *arguments: str, timeout: float = 60) -> tuple[bool, str]:
        """Whether the command succeeded within `timeout` seconds, and what it printed."""
        try:
            done = self._run(["systemctl", *arguments], timeout)
        except FileNotFoundError:
            return False, "systemctl is not installed"
        except subprocess.TimeoutExpired:
            return False, f"systemctl {' '.join(arguments)} took longer than {timeout:g} s"
        return done.returncode == 0, done.stdout

    def log(self, unit: str, since: float) -> list[str]:
        """The last lines that the processes of a unit wrote since that time (seconds since 1970), secrets masked."""
        # Not --lines: together with --since it counts from the beginning. Whole seconds, rounded down.
        wanted = [f"_SYSTEMD_UNIT={unit}", f"--since=@{int(since)}"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            self._run(["journalctl", "--sync"], 10)
            done = self._run(["journalctl", "--quiet", "--no-pager", "--output=cat", *wanted], 20)
            app = re.split("[.@]", unit)[0]
            lines = mask(OF_GUNICORN_ITSELF.sub("", done.stdout), secrets_on_host(self.root, app)).splitlines()
            return [line[:LOG_LINE_LENGTH] for line in lines[-LOG_LINES:]]
        return []

    def at(self, path: str) -> Path:
        """The path below our root."""
        return self.root / path.lstrip("/")

    def digest(self, file: str) -> str:
        """The SHA-256 of a file, empty when there is none."""
        path = self.at(file)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def recorded(self, record: str) -> dict[str, str]:
        """The digests that the script `record` of the gunicorn role wrote when a process started, by path."""
        path = self.at(record)
        lines = path.read_text().splitlines() if path.is_file() else []
        return {file: digest for digest, _unused, file in (line.partition("  ") for line in lines)}

    def starts_with(self, target: str) -> frozenset[str]:
        """The units that are enabled for a target."""
        folder = self.at(f"{UNIT_FOLDER}/{target}.wants")
        return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()

    @staticmethod
    def _run(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # pylint: disable=ansible-bad-function
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
