"""A folder that stands for the root of a host, and transactions on it that need no privileges."""

from __future__ import annotations

import getpass
import grp
import os
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._config_tree.commands import parse_commands
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import ConfigFile
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.transaction import ConfigTree, Result

USER = getpass.getuser()
GROUP = grp.getgrgid(os.getegid()).gr_name
STATE = "var/lib/production.fastapi"


def file(dest: str, content: str = "new\n", **options: Any) -> ConfigFile:
    return ConfigFile(dest, content.encode(), USER, GROUP, **options)


def transaction(root: Path, *files: ConfigFile, **options: Any) -> ConfigTree:
    for key in ("validate", "apply", "verify"):
        options[key] = parse_commands(key, options.get(key, []))
    return ConfigTree("test", list(files), root=root, **options)


def run(root: Path, *files: ConfigFile, **options: Any) -> Result:
    return transaction(root, *files, **options).run()


def put(root: Path, path: str, content: str, mode: int = 0o644) -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)
    place.chmod(mode)
    os.utime(place, (1_000_000_000, 1_000_000_000))
    return place


def host(place: Path) -> Path:
    """The folders that every host has."""
    for folder in ("etc", "run", "var/lib"):
        (place / folder).mkdir(parents=True)
    return place


def tree(root: Path, *, state: bool = True) -> dict[str, Any]:
    """Everything below `root` but the lock: kind, content, mode and, for files, the time of change."""
    found: dict[str, Any] = {}
    for place in sorted(root.rglob("*")):
        path = str(place.relative_to(root))
        info = place.lstat()
        if path.startswith("run") or (not state and path.startswith("var")):
            continue
        if place.is_symlink():
            found[path] = ("link", str(place.readlink()))
        elif place.is_dir():
            found[path] = ("folder", info.st_mode)
        else:
            found[path] = (place.read_text(), info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns)
    return found
