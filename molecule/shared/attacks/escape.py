"""Leaves its process group and its session by two forks, and goes on when whoever has started it has ended."""

import contextlib
import os
import signal
from pathlib import Path

from common import MARK, loot, rounds

here = Path.cwd()
parent = os.getppid()
for _ in range(2):
    if os.fork():
        os._exit(0)
    os.setsid()
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
open_file = (here / "escaped").open("a") if os.access(here, os.W_OK) else None
for _ in rounds():
    if not Path(f"/proc/{parent}").exists() and (here.parent / "release.json").exists():
        # The release is complete; a file of it that was open before, and a new one.
        with contextlib.suppress(OSError):
            if open_file:
                open_file.write(MARK)
                open_file.flush()
            (here / f"{MARK}-escape").write_text(MARK)
            loot("escape", f"writes {here} after the build")
