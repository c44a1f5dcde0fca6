# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an app saves for Nginx to serve: a folder in `shared` of Nginx's group, and so is what is new in it.

The app may change everything there at any moment, so root goes by descriptors and along no link.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

# With the bit that gives the folder's group to what is made in it.
MODE = 0o2750

_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_media(shared: Path, path: str, app: Account, group: int, *, check: bool) -> bool:
    """Let a group read a folder below `shared`, which is made when it is not there; returns whether something changes.

    Raises `ReleaseError` when something else than a folder of the app is there.
    """
    changed = False
    try:
        opened = os.open(shared, _FOLDER)
    except FileNotFoundError:
        return True
    try:
        here = shared
        for part in path.split("/"):
            here /= part
            try:
                inner = _enter(opened, part, app, make=not check)
            except FileNotFoundError:
                return True
            except OSError as error:
                raise ReleaseError(f"app_static: {here} is not a folder ({error.strerror}); move it away.") from error
            os.close(opened)
            opened = inner
            if os.fstat(opened).st_uid != app.uid:
                raise ReleaseError(f"app_static: {here} does not belong to the app; give it to the app's user.")
            changed |= _open_folder(opened, app, group, check=check)
        return changed
    finally:
        os.close(opened)


def _enter(folder: int, name: str, app: Account, *, make: bool) -> int:
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o750, dir_fd=folder)
            os.chown(name, app.uid, app.gid, dir_fd=folder, follow_symlinks=False)
    return os.open(name, _FOLDER, dir_fd=folder)


def _open_folder(folder: int, app: Account, group: int, *, check: bool) -> bool:
    """Whether a folder was not the group's; what is in it is given to the group first, and the folder last."""
    known = os.fstat(folder)
    if known.st_gid == group and stat.S_IMODE(known.st_mode) & MODE == MODE:
        return False
    if check:
        return True
    for _path, folders, files, descriptor in os.fwalk(".", dir_fd=folder, follow_symlinks=False):
        for name in [*folders, *files]:
            with contextlib.suppress(OSError):
                _give(name, descriptor, app, group)
    os.fchown(folder, -1, group)
    os.fchmod(folder, stat.S_IMODE(known.st_mode) | MODE)
    return True


def _give(name: str, folder: int, app: Account, group: int) -> None:
    """Give a file or a folder to the group, if it is the app's; a link and a pipe stay what they are."""
    opened = os.open(name, _FILE, dir_fd=folder)
    try:
        known = os.fstat(opened)
        if known.st_uid != app.uid or not (stat.S_ISREG(known.st_mode) or stat.S_ISDIR(known.st_mode)):
            return
        os.fchown(opened, -1, group)
        if stat.S_ISDIR(known.st_mode):
            os.fchmod(opened, stat.S_IMODE(known.st_mode) | MODE)
    finally:
        os.close(opened)
