# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Root takes a tree that somebody else has made: every file is copied, by descriptors, and belongs to root then.

A copy, because whoever had the tree may have kept a descriptor that writes to it, or another name for one of its files.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

CHUNK = 1 << 20
BYTECODE = "__pycache__"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Taken:
    """What was copied: the Python files, by the SHA-256 of their text."""

    sources: dict[str, list[Path]] = field(default_factory=dict)


def take(source: Path, target: Path, *, below: str = "", keep_link: Callable[[str, str], bool] | None = None) -> Taken:
    """Copy the folder `source`, or one `below` it, to `target`, which must not exist; returns what was taken.

    `source` is a path on which only root can change anything; from there on no link is followed.

    Modes become 0644 and 0755, times stay. Bytecode stays behind: whoever compiled it may have put anything there.
    Links are copied as links, those that `keep_link(path in the tree, what it names)` refuses are left out.
    Raises `ReleaseError` when there is no such folder, or something in it is neither a file, a folder nor a link.
    """
    taken = Taken()
    opened = _open_below(source, below)
    try:
        target.mkdir(mode=0o755)
        made = os.open(target, _FOLDER)
        try:
            _Copy(taken, target, keep_link).folder(opened, made, "")
        finally:
            os.close(made)
    finally:
        os.close(opened)
    return taken


@dataclass(frozen=True)
class _Copy:
    taken: Taken
    target: Path
    keep_link: Callable[[str, str], bool] | None

    def folder(self, source: int, target: int, path: str) -> None:
        with os.scandir(source) as entries:
            for entry in entries:
                name, here = entry.name, f"{path}{entry.name}"
                if entry.is_symlink():
                    self._link(name, here, source, target)
                elif entry.is_dir(follow_symlinks=False):
                    if name == BYTECODE:
                        continue
                    self._subfolder(name, here, source, target)
                else:
                    self._file(name, here, source, target)
        os.fchmod(target, 0o755)
        known = os.fstat(source)
        os.utime(target, ns=(known.st_mtime_ns, known.st_mtime_ns))

    def _subfolder(self, name: str, here: str, source: int, target: int) -> None:
        opened = _open(name, _FOLDER, source, here)
        try:
            os.mkdir(name, 0o755, dir_fd=target)
            made = os.open(name, _FOLDER, dir_fd=target)
            try:
                self.folder(opened, made, f"{here}/")
            finally:
                os.close(made)
        finally:
            os.close(opened)

    def _link(self, name: str, here: str, source: int, target: int) -> None:
        try:
            named = os.readlink(name, dir_fd=source)
        except OSError as error:
            raise ReleaseError(f"{here} of the build cannot be read: {error.strerror}.") from error
        if self.keep_link is None or self.keep_link(here, named):
            os.symlink(named, name, dir_fd=target)

    def _file(self, name: str, here: str, source: int, target: int) -> None:
        opened = _open(name, _READ, source, here)
        try:
            known = os.fstat(opened)
            if not stat.S_ISREG(known.st_mode):
                raise ReleaseError(f"The build has made {here}, which is neither a file, a folder nor a link.")
            mode = 0o755 if known.st_mode & stat.S_IXUSR else 0o644
            made = os.open(name, _NEW, mode, dir_fd=target)
            try:
                digest = hashlib.sha256() if name.endswith(".py") else None
                left = known.st_size
                while left > 0 and (block := os.read(opened, CHUNK)):
                    if digest:
                        digest.update(block)
                    _write(made, block)
                    left -= len(block)
                os.fchmod(made, mode)
                os.utime(made, ns=(known.st_mtime_ns, known.st_mtime_ns))
            finally:
                os.close(made)
            if digest:
                self.taken.sources.setdefault(digest.hexdigest(), []).append(self.target / here)
        finally:
            os.close(opened)


def _open_below(source: Path, below: str) -> int:
    opened = os.open(source, _FOLDER)
    here = ""
    for part in filter(None, below.split("/")):
        here += f"/{part}"
        former = opened
        try:
            opened = _open(part, _FOLDER, former, here.lstrip("/"))
        finally:
            os.close(former)
    return opened


def _open(name: str, flags: int, folder: int, here: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        raise ReleaseError(f"{here} of the build cannot be read: {error.strerror}.") from error


def _write(file: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(file, view) :]


def read_plain(path: Path) -> bytes:
    """The content of a file of somebody else, without following a link; empty when there is none."""
    try:
        opened = os.open(path, _READ)
    except OSError:
        return b""
    with os.fdopen(opened, "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(opened).st_mode) else b""
