# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps our modules as Ansible has packed them, for the next run.

Ansible packs a module together with the module_utils that it imports. To find these it parses up to a hundred files,
which takes 0.2 to 0.4 s of a processor for each module, and forgets the result at the end of the run. Here it is kept
below `~/.ansible`, under a digest of all that goes into it: the next run has it only when nothing has changed.

Only our own modules are kept, because Ansible may give modules of others the same name. Nothing here may end a run:
what cannot be read or written is packed again.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible import constants
from ansible.plugins.loader import module_utils_loader
from ansible.release import __version__

PLUGINS = Path(__file__).resolve().parents[1]
# What the names of files begin with that Ansible writes for our modules.
OURS = "ansible_collections.production.fastapi.plugins.modules."
UNFINISHED = ("-part", ".lock")
# Other versions and checkouts may be in use beside this one.
MOST_FOLDERS = 4
KEPT_AT_LEAST = 3600.0  # seconds


def fingerprint(code: Iterable[Path], given: Iterable[Path]) -> str:
    """A digest of the content of `code`, and of when the files in the folders `given` were changed."""
    digest = hashlib.sha256(f"{__version__} {sys.version}".encode())
    for path in code:
        digest.update(f"\n{path} ".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for folder in given:
        for name, size, changed in sorted(_files(folder)):
            digest.update(f"\n{folder}/{name} {size} {changed}".encode())
    return digest.hexdigest()[:32]


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of each Python file in a folder; none where there is no such folder."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                status = entry.stat()
                yield entry.name, status.st_size, status.st_mtime_ns


def is_private(folder: Path) -> bool:
    """Whether nobody else could have put something there. Ansible reads it as pickles, which can run code."""
    status = folder.lstat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022 and folder.is_dir() and not folder.is_symlink()


def packed_in(folder: Path) -> dict[str, Path]:
    """The packed modules of ours in a folder, by name."""
    found = {path.name: path for path in folder.glob(f"{OURS}*")}
    return {name: path for name, path in found.items() if not name.endswith(UNFINISHED)}


def take(kept: Path, run: Path) -> None:
    """Give Ansible what an earlier run has packed; `run` is the folder in which it looks."""
    if not kept.is_dir() or not is_private(kept.parent) or not is_private(kept):
        return
    os.utime(kept)
    run.mkdir(mode=0o700, exist_ok=True)
    for name, path in packed_in(kept).items():
        shutil.copyfile(path, run / name)


def keep(run: Path, kept: Path) -> None:
    """Keep what this run has packed, and remove what has not been used for the longest time."""
    had = packed_in(kept)
    new = {name: path for name, path in packed_in(run).items() if name not in had}
    if not new:
        return
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept.mkdir(mode=0o700, exist_ok=True)
    if not is_private(kept.parent) or not is_private(kept):
        return
    for name, path in new.items():
        # A file that a crash has cut off would end each later run.
        part = kept / f".{name}.{os.getpid()}"
        with part.open("wb") as file:
            file.write(path.read_bytes())
            file.flush()
            os.fsync(file.fileno())
        part.replace(kept / name)
    _forget(kept.parent)


def _forget(folder: Path) -> None:
    used = sorted(((path.stat().st_mtime, path) for path in folder.iterdir() if path.is_dir()), reverse=True)
    for when, path in used[MOST_FOLDERS:]:
        if time.time() - when > KEPT_AT_LEAST:
            shutil.rmtree(path, ignore_errors=True)


@functools.cache
def reuse() -> None:
    """Take what is kept, and keep what is new at the end of the run. Once in a run, before Ansible forks."""
    with contextlib.suppress(OSError):
        code = sorted(path for folder in ("modules", "module_utils") for path in (PLUGINS / folder).rglob("*.py"))
        given = [Path(path) for path in module_utils_loader.print_paths().split(os.pathsep)]
        kept = Path(constants.ANSIBLE_HOME) / "production.fastapi" / "packed" / fingerprint(code, given)
        run = Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache"
        take(kept, run)
        atexit.register(_end, run, kept, os.getpid())


def _end(run: Path, kept: Path, process: int) -> None:
    if os.getpid() == process:
        with contextlib.suppress(OSError):
            keep(run, kept)
