# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has of the releases of an app, and what its folders have to be."""

from __future__ import annotations

import grp
import json
import pwd
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.marks import COMPLETE
from ansible_collections.production.fastapi.plugins.module_utils._release.public import Public
from ansible_collections.production.fastapi.plugins.module_utils._release.take import read_plain

# Who reads the files for Nginx.
WEB_GROUP = "www-data"

# How releases of earlier versions describe themselves: by names that are the app's now.
FORMER_NAMES = re.compile(r"^APP_(?=(NAME|RELEASE|ENTRYPOINT|DIRECTORY)=)", re.MULTILINE)


def wanted_folders(app: Sequence[int], web: int, root: Sequence[int], *, media: bool) -> dict[str, list[int]]:
    """Mode, owner and group of each folder of an app; `app` and `root` are the ids of a user and its group.

    Others may pass through to what is theirs below, and see nothing on the way.
    """
    return {
        "": [0o711, *root],
        "releases": [0o711, *root],
        # Who may pass through to what the app saves for Nginx, and list nothing.
        "shared": [0o710, app[0], web] if media else [0o750, *app],
        # Nginx lists it; the app passes through to the files of other releases, which are public as well.
        "public": [0o751, root[0], web],
        "build": [0o700, *root],
    }


def known_folder(folder: Path) -> list[int]:
    """Mode, owner and group of a folder; empty where there is none."""
    if not folder.is_dir():
        return []
    known = folder.stat()
    return [known.st_mode & 0o7777, known.st_uid, known.st_gid]


def group_id(name: str) -> int:
    """The id of a group; root's where there is none."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return 0


def live_in(directory: Path) -> str:
    """The release that `current` names; empty when there is none. Whether it runs is not asked."""
    link = directory / "current"
    return link.readlink().name if link.is_symlink() else ""


def complete_in(directory: Path) -> list[str]:
    """The releases that are complete."""
    return sorted(path.parent.name for path in (directory / "releases").glob(f"[!.]*/{COMPLETE}"))


def is_former(directory: Path) -> bool:
    """Whether an earlier version has left something that is otherwise now."""
    texts = (read_plain(file).decode(errors="replace") for file in (directory / "releases").glob("*/release.env"))
    return (directory / "cache").is_dir() or any(map(FORMER_NAMES.search, texts))


def read_there(root: Path, app: str, python: str) -> dict[str, Any]:
    """What a host has of an app; empty when it has no live release. `python` is the host's own, as `python3.13`."""
    directory = root / "srv" / app
    live = live_in(directory)
    try:
        release = json.loads((directory / "releases" / live / COMPLETE).read_text()) if live else {}
        user = pwd.getpwnam(app)
    except (OSError, ValueError, KeyError):
        return {}
    if not release or is_former(directory):  # which is for the module to change
        return {}
    return {
        "live": live,
        "release": release,
        "complete": complete_in(directory),
        "copies": Public(directory, warn=lambda _text: None).copies(),
        "folders": {name: known_folder(directory / name) for name in wanted_folders((0, 0), 0, (0, 0), media=False)},
        "app": [user.pw_uid, user.pw_gid],
        "web": group_id(WEB_GROUP),
        "python": python,
    }
