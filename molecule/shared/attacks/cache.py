"""Changes what the next release will get: uv's cache, bytecode, and files that have another name elsewhere."""

import contextlib
import os
from pathlib import Path

from common import APP, MARK, loot, rounds


def spoil(path: Path) -> None:
    """Append to a file that is not ours alone, and say so."""
    with contextlib.suppress(OSError):
        if path.is_symlink() or MARK in path.name:
            return
        with path.open("a") as file:
            file.write(f"\n# {MARK}-cache\n")
        loot("cache", f"writes {path}")


spoilt: set[str] = set()
for _ in rounds():
    for folder in (APP / "cache", APP / "build", Path.cwd().parent / "cache" / "uv" / "archive-v0"):
        for root, _folders, files in os.walk(folder):
            for name in files:
                if name.endswith((".py", ".pyc", ".txt")) and root not in spoilt and "setuptools" not in root:
                    spoilt.add(root)
                    # What one build has fetched for itself ends with it.
                    if Path(root).stat().st_dev == APP.stat().st_dev or root.startswith(str(APP / "cache")):
                        spoil(Path(root) / name)
    for venv in {Path.cwd().parent / "venv", *APP.glob("releases/*/venv")}:
        for root, _folders, files in os.walk(venv / "lib"):
            for name in files:
                path = Path(root) / name
                with contextlib.suppress(OSError):
                    if root not in spoilt and path.stat().st_nlink > 1 and os.access(path, os.W_OK):
                        spoilt.add(root)
                        loot("cache", f"has another name of {path}")
