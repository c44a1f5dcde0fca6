# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a server should be restarted: what an upgrade has replaced, and what still runs as it was before."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

# Their new version works from the next start on.
NEEDS_START = re.compile(r"(linux-image-.*|libc6|systemd|intel-microcode|amd64-microcode)(:\w+)?\.list")
# Code in memory whose file is gone, as it is written in /proc/NUMBER/maps; releases of apps are no part of the system.
REPLACED = re.compile(r"^\S+ ..x. \S+ \S+ \d+ +(/(?:usr|lib|lib64|bin|sbin)/.*) \(deleted\)$", re.MULTILINE)
# dpkg writes its lists at once, and the kernel's clocks are known to a second.
SAME_TIME = 2


def reboot_reasons(root: Path) -> list[str]:
    """What waits for a reboot, a few words each; empty when nothing does."""
    reasons = []
    if (root / "run/reboot-required").exists():
        reasons.append("/run/reboot-required")
    started = system_started(root)
    for entry in sorted((root / "var/lib/dpkg/info").glob("*.list")):
        if NEEDS_START.fullmatch(entry.name) and entry.stat().st_mtime > started + SAME_TIME:
            reasons.append(f"a new {entry.name.removesuffix('.list').partition(':')[0]}")
    return reasons + [f"{name} runs what was replaced" for name in running_what_was_replaced(root)]


def system_started(root: Path) -> float:
    """When the first process was started, in seconds since 1970; in a container that is later than the kernel."""
    booted = re.search(r"^btime (\d+)$", (root / "proc/stat").read_text(), re.MULTILINE)
    fields = (root / "proc/1/stat").read_text().rpartition(") ")[2].split()
    return int(booted[1] if booted else 0) + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def running_what_was_replaced(root: Path) -> list[str]:
    """Names of the processes whose program or libraries an upgrade has replaced, sorted."""
    names = set()
    for process in (root / "proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            if REPLACED.search((process / "maps").read_text(errors="replace")):
                names.add((process / "comm").read_text().strip())
    return sorted(names)
