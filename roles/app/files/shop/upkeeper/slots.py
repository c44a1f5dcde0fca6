"""Slots: small numbers for processes that share a folder, free again when a process is gone, however it went."""

import contextlib
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path


class Slots:
    """Gives each process the lowest number that no living process has.

    A number is held by an exclusive `flock`, which the kernel gives back when the process ends, by SIGKILL too: a
    worker that takes the place of another takes its number, so there are never more numbers than processes that ran at
    once. `folder` must exist, on a local file system, and belong to these processes alone. `on_taken` is called with a
    number before anybody can see that it is taken. A forked process takes a number of its own.
    """

    def __init__(self, folder: Path, on_taken: Callable[[int], None]) -> None:
        self.folder = folder
        self._on_taken = on_taken
        self._number = -1
        self._lock = -1
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def mine(self) -> int:
        """Return this process's number, from 0."""
        if self._lock < 0:
            self._take()
        return self._number

    def taken(self) -> set[int]:
        """Return the numbers of all living processes."""
        with self._alone():
            numbers = itertools.takewhile(lambda number: self._path(number).exists(), itertools.count())
            return {number for number in numbers if not self._is_free(number)}

    def _take(self) -> None:
        with self._alone():
            for number in itertools.count():
                lock = os.open(self._path(number), os.O_RDWR | os.O_CREAT, 0o600)
                if _locked(lock):
                    self._on_taken(number)
                    self._number, self._lock = number, lock
                    return
                os.close(lock)

    def _is_free(self, number: int) -> bool:
        lock = os.open(self._path(number), os.O_RDWR)
        try:
            return _locked(lock)
        finally:
            os.close(lock)

    def _path(self, number: int) -> Path:
        return self.folder / f"slot-{number}.lock"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time look which numbers are free: to look is to hold a lock for a moment."""
        lock = os.open(self.folder / "slots.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _leave_to_parent(self) -> None:
        """Close the descriptor that a fork copied; the parent's own keeps the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
