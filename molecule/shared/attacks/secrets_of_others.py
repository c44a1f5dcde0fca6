"""Looks for keys, tokens and the environment of other apps: in files, and in what processes were started with."""

import contextlib
import os
from pathlib import Path

from common import SECRETS, foreign, loot, processes, rounds

NAMES = ("etc/other/environment", "etc/hello/environment", "root/attack_key", "root/.ssh/id_ed25519")
FOLDERS = ("tmp", "run/fetch", "run/production.fastapi.private", "var/tmp")
told: set[str] = set()


def look(path: Path) -> None:
    """Tell of a secret in a file."""
    with contextlib.suppress(OSError):
        text = path.read_bytes()[:200000].decode(errors="replace")
        for secret in SECRETS:
            if secret in text and f"{secret} in {path.name}" not in told:
                told.add(f"{secret} in {path.name}")
                loot("secrets", f"reads {secret} in {path}")


for _ in rounds():
    roots = [Path("/")]
    for process in processes():
        look(process / "environ")
        look(process / "cmdline")
        roots += [process / "root"] if foreign(process) else []
    for root in roots:
        for name in NAMES:
            look(root / name)
        for folder in FOLDERS:
            for where, _folders, files in os.walk(root / folder):
                for name in files:
                    look(Path(where) / name)
