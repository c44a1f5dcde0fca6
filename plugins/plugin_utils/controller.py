# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The process that deploys, named so that another one on the same machine can tell whether it still runs."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

PLACE = ("host", "boot", "namespace")


def this_deploy() -> dict[str, str]:
    """The ansible-playbook that this worker belongs to: each task runs in a child of it."""
    return process(os.getppid())


def process(pid: int) -> dict[str, str]:
    """A process of this machine: a number comes again, the time of its start does not."""
    return {
        "host": platform.node(),
        "boot": _read(Path("/proc/sys/kernel/random/boot_id")),
        "namespace": _link(Path("/proc/self/ns/pid")),
        "pid": str(pid),
        "started": started(pid),
    }


def is_gone(controller: Mapping[str, str]) -> bool:
    """Whether a process of this machine has ended. Of one elsewhere nobody here can tell, so the answer is no."""
    here = process(os.getpid())
    if any(controller.get(key, "") != here[key] for key in PLACE) or not controller.get("pid", "").isdigit():
        return False
    return started(int(controller["pid"])) != controller.get("started", "")


def started(pid: int) -> str:
    """When a process was started, comparable with itself alone; empty when there is none, or only its remains."""
    stat = _read(Path(f"/proc/{pid}/stat"))
    if stat:
        # The name, in parentheses, may have anything in it; what follows begins with the state, field 3 (proc(5)).
        words = stat.rpartition(")")[2].split()
        return "" if words[0] in {"Z", "X"} else words[19]
    if Path("/proc/self/stat").exists():
        return ""
    shown = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(shown, capture_output=True, text=True, check=False, timeout=10).stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    return os.readlink(path) if path.is_symlink() else ""  # noqa: PTH115  # it points to nothing that is a path
