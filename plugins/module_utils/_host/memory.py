# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much memory a host can give, and how much some processes have taken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path


def available_memory_mb(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Memory that a new process can have without swapping, in MiB."""
    lines = (line.split() for line in meminfo.read_text().splitlines())
    return next(int(words[1]) for words in lines if words[0] == "MemAvailable:") >> 10


def used_memory_mb(processes: Iterable[str], proc: Path = Path("/proc")) -> int:
    """What processes use together, in MiB; what several of them share counts once (Pss, see proc(5))."""
    used = 0
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            lines = (proc / process / "smaps_rollup").read_text().splitlines()
            used += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return used >> 10
