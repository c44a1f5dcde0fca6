# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Digests of transactions: the host takes them of what is there, the controller of what is wanted, and compares.

They are keyed by a random value of the run, because the files hold secrets and digests are shown.
"""

from __future__ import annotations

import grp
import hashlib
import hmac
import json
import os
import pwd
from collections.abc import Callable, Iterable
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._config_tree.entries import read
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import ConfigError, ConfigFile
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE

# What a transaction has in its folder while it is under way, or when it was killed on its way.
UNFINISHED = ("journal.json", "committed.json", "stage")


def digest_of(files: Iterable[ConfigFile], generation: str, inventory: str, key: str) -> str:
    """The digest of a transaction with these files, as they are written."""
    listed = [
        [file.dest, file.owner, file.group, file.mode, file.secret, hashlib.sha256(file.content).hexdigest()]
        for file in sorted(files, key=lambda file: file.dest)
    ]
    return hmac.new(key.encode(), json.dumps([generation, inventory, listed]).encode(), "sha256").hexdigest()


def digests_on(root: Path, key: str) -> dict[str, str]:
    """The digest of each transaction on the host; that of one that is unfinished, or lacks a file, is empty."""
    state = root / STATE
    unfinished = {path.parent.name for name in UNFINISHED for path in state.glob(f"*/{name}")}
    names = sorted(unfinished | {path.stem for path in state.glob("*.json")})
    return {name: _digest_on(root, state / f"{name}.json", key) if key else "" for name in names}


def _digest_on(root: Path, manifest: Path, key: str) -> str:
    try:
        known = json.loads(manifest.read_bytes())
        files = [_file_on(root, path, bool(flags["secret"])) for path, flags in known["files"].items()]
        digest = digest_of(files, known["generation"], known["inventory"], key)
    except (AttributeError, ConfigError, KeyError, OSError, TypeError, ValueError):
        return ""
    # Looked for after the files were read, so that what has begun meanwhile is seen.
    folder = manifest.with_suffix("")
    return "" if any(os.path.lexists(folder / name) for name in UNFINISHED) else digest


def _file_on(root: Path, path: str, secret: bool) -> ConfigFile:
    """A file as the host has it; raises OSError when it is none of ours any more."""
    entry = read(root / path.lstrip("/"))
    if entry is None or entry.link:
        raise FileNotFoundError(path)
    owner = _name(entry.uid, lambda uid: pwd.getpwuid(uid).pw_name)
    group = _name(entry.gid, lambda gid: grp.getgrgid(gid).gr_name)
    return ConfigFile(path, entry.content, owner, group, entry.mode, secret)


def _name(number: int, find: Callable[[int], str]) -> str:
    try:
        return find(number)
    except KeyError:
        return str(number)
