# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the commands of a transaction: no shell, a time limit, and a failure that reads as one sentence."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import ConfigError

LAST_LINES = 6
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Command:
    """A program with its arguments; `hint` ends the error, `requires` are paths that a dry run needs to try it."""

    argv: tuple[str, ...]
    hint: str = ""
    requires: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As a person would type it."""
        return shlex.join(self.argv)

    def with_values(self, values: Mapping[str, str]) -> Command:
        """The command with each key of `values` in its arguments replaced."""
        argv = self.argv
        for key, value in values.items():
            argv = tuple(argument.replace(key, value) for argument in argv)
        return replace(self, argv=argv)

    def missing(self) -> str:
        """The first program or path this command needs and the host does not have, else an empty string."""
        if shutil.which(self.argv[0], path=environment()["PATH"]) is None:
            return self.argv[0]
        return next((path for path in self.requires if not Path(path).exists()), "")


def parse_commands(option: str, values: list[Any]) -> list[Command]:
    """The commands of an option: text (split as a shell would), a list of arguments, or a dictionary around one.

    Raises ConfigError naming the option and the entry.
    """
    commands = []
    for number, value in enumerate(values, start=1):
        where = f"{option}, entry {number}"
        entry = value if isinstance(value, dict) else {"command": value}
        if unknown := sorted(set(entry) - {"command", "hint", "requires"}):
            raise ConfigError(f"{where}: unknown key `{unknown[0]}`; use command, hint and requires.")
        try:
            command = entry.get("command", "")
            argv = shlex.split(command) if isinstance(command, str) else [str(argument) for argument in command]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: {error}; write a command line or a list of arguments.") from error
        if not argv:
            raise ConfigError(f"{where} is empty; write a command line or a list of arguments.")
        requires = entry.get("requires") or []
        requires = [requires] if isinstance(requires, str) else requires
        commands.append(Command(tuple(argv), str(entry.get("hint") or "").strip(), tuple(requires)))
    return commands


def environment() -> dict[str, str]:
    """Ours, with English messages and the system's programs within reach."""
    return {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}".lstrip(":")}


class Stop:
    """Notes SIGTERM, SIGHUP and SIGINT, so that work ends where it can be undone instead of anywhere."""

    def __init__(self) -> None:
        """Nothing received yet; signals are noted inside the `with` block."""
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        """Take over the signals."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = signal.Signals(number)

    def check(self) -> None:
        """Raises ConfigError once a signal has been received."""
        if self.received:
            raise ConfigError(f"stopped by {self.received.name}")


def run(command: Command, timeout: float, check: Callable[[], None] = lambda: None) -> None:
    """Run the command for at most `timeout` seconds, calling `check` meanwhile; what that raises ends the command.

    Raises ConfigError with the command, how it ended, its last lines and its hint.
    """
    # A file, not a pipe: a daemon that the command leaves behind would hold the pipe open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(_sentence(command, f"cannot be started ({error.strerror})", "")) from error
        try:
            status = _wait(process, timeout, check)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if status == 0:
            return
        output.seek(0)
        lines = [line.strip() for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    if status is None:
        ended = f"did not end within {timeout:g} s"
    elif status < 0:
        ended = f"was killed by {signal.Signals(-status).name}"
    else:
        ended = f"ended with status {status}"
    raise ConfigError(_sentence(command, ended, "; ".join(lines[-LAST_LINES:])))


def _wait(process: subprocess.Popen[bytes], timeout: float, check: Callable[[], None]) -> int | None:
    """The exit status; None when time was up and the command had to be killed."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while process.poll() is None:
        check()
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return process.returncode


def _sentence(command: Command, ended: str, output: str) -> str:
    text = f"`{command}` {ended}{': ' + output if output else ''}"
    return f"{text.rstrip('.')}. {command.hint}".strip()
