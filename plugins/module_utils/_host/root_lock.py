# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Locks of the kernel in a folder that root alone can enter, so that no other account can hold one.

A read-only descriptor is enough for `flock`, so a lock on anything that others can open is a lock that they can hold.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

FOLDER = "run/production.fastapi.private"

# Seconds: longer than what any holder does in a deploy that goes well, and short enough for somebody who waits.
TIMEOUT = 600.0
INTERVAL = 0.1


def private_folder(root: Path = Path("/")) -> Path:
    """The folder for locks and short-lived secrets, made or closed to others when it is not yet."""
    folder = root / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


@contextlib.contextmanager
def hold(
    name: str,
    doing: str,
    *,
    root: Path = Path("/"),
    timeout: float = TIMEOUT,
    error: type[Exception] = TimeoutError,
) -> Iterator[None]:
    """Hold the lock `name` while `doing` something, as `builds shop`; a killed process holds nothing.

    Waits `timeout` seconds for whoever holds it; then raises `error` with a sentence that says who that is.
    """
    descriptor = os.open(private_folder(root) / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        until = time.monotonic() + timeout
        while not _try(file):
            if time.monotonic() >= until:
                holder = file.read().strip() or "A process that has not said what it does"
                raise error(f"{holder}; it did not end within {timeout:g} s: try again later, or end that process.")
            time.sleep(INTERVAL)
        file.truncate()
        file.write(f"Process {os.getpid()} {doing} since {datetime.now(UTC):%H:%M} UTC\n")
        file.flush()
        yield


@contextlib.contextmanager
def hold_if_free(name: str, doing: str, *, root: Path = Path("/")) -> Iterator[bool]:
    """Hold the lock `name` unless somebody does; yields whether it was free."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(name, doing, root=root, timeout=0))
        except TimeoutError:
            yield False
        else:
            yield True


def _try(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
