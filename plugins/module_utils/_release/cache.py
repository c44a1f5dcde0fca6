# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The size of uv's cache, which would keep every version of each package for ever."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._release.host import run
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place

# What the cache may have beside twice of what the latest release has installed.
SPARE = 1 << 30


def prune(place: Place, uv: Path, venv: Path) -> None:
    """Bound the cache by what the latest release has in its virtualenv; the caller holds the lock of builds.

    First uv removes what nothing leads to any more, where nothing else can be executed. When that is not enough the
    cache goes, out of sight in one step, and the next build begins with an empty one.
    """
    cache = place.cache / "uv"
    outside = place.outside(cache)
    most = SPARE + 2 * size(venv)
    if size(outside) <= most:
        return
    environment = {"HOME": str(place.cache), "UV_CACHE_DIR": str(cache), "UV_NO_PROGRESS": "1"}
    run([uv, "cache", "prune"], place.unpacking([uv]), environment, folder=Path("/"))
    if size(outside) > most:
        gone = place.closed / ".former-cache"
        shutil.rmtree(gone, ignore_errors=True)
        outside.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def size(folder: Path) -> int:
    """The bytes of all files in a folder, each once, whatever its names; no link is followed."""
    seen: dict[tuple[int, int], int] = {}
    if not folder.is_dir():
        return 0
    for _root, _folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in files:
            with contextlib.suppress(OSError):
                known = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                seen[known.st_dev, known.st_ino] = known.st_size
    return sum(seen.values())
