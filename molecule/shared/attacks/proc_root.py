"""Reads and writes through /proc/PID/root of every process that lives in another mount namespace."""

import contextlib

from common import MARK, foreign, loot, processes, rounds

for _ in rounds():
    for process in filter(foreign, processes()):
        root = process / "root"
        with contextlib.suppress(OSError):
            for folder in (root / "srv/mallory/releases").iterdir():
                for target in (*folder.glob("venv/lib/python*/site-packages"), folder / "src"):
                    with contextlib.suppress(OSError):
                        (target / f"{MARK}-proc_root.pth").write_text(f"# {MARK}-proc_root\n")
                        loot("proc_root", f"writes {target}")
