# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small files in which a host remembers something of an app: replaced as a whole, readable by root alone."""

from __future__ import annotations

import os
from pathlib import Path


def replace_record(path: Path, text: str) -> None:
    """Let the file have this text, by a new one that takes its place at once and survives a power cut.

    Its folder is made when it is missing. Raises OSError when it cannot be written; the file is then as it was.
    """
    close_folder(path.parent)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(0o600)
    new.replace(path)


def close_folder(folder: Path) -> None:
    """Make the folder where it is missing, and let nobody else look into it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
