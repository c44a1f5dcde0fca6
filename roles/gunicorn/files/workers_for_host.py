"""How many workers fit on a host: by its cores and its memory, and by what the control groups leave of them.

Written by Ansible, role production.fastapi.gunicorn; gunicorn.conf.py beside it asks when Gunicorn starts or reloads.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def cgroup_settings(name: str) -> list[list[str]]:
    """The words of file `name` in each control group around this process, the innermost first."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line[len("0::/") :] for line in lines if line.startswith("0::/")), "")
    folders = [CGROUPS / own, *(CGROUPS / own).parents]
    files = [folder / name for folder in folders if folder.is_relative_to(CGROUPS)]
    return [file.read_text().split() for file in files if file.is_file()]


def usable_cores() -> int:
    """Cores that this process may use: by affinity, and by the CPU quota of its control groups."""
    quotas = [math.ceil(int(quota) / int(period)) for quota, period in cgroup_settings("cpu.max") if quota != "max"]
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def usable_memory(reserve: int) -> int:
    """MiB for the workers: those of the host less a `reserve` for others on it, or what the control groups allow."""
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 - reserve
    limits = [int(limit) // 2**20 for (limit,) in cgroup_settings("memory.max") if limit != "max"]
    return min([host, *limits])


def worker_count(each: int, policy: str, cores: int, memory: int) -> int:
    """Workers by `policy` (classic, async or a number), of `each` MiB: at most what fits in `memory`, at least one."""
    wanted = {"classic": 2 * cores + 1, "async": cores + 1}.get(policy) or int(policy)
    fitting = max(1, memory // each)
    if wanted > fitting:
        print(
            f"gunicorn_workers ({policy}) asks for {wanted} workers; {memory} MiB hold {fitting} "
            f"of gunicorn_worker_memory = {each} MiB.",
            file=sys.stderr,
        )
    return min(wanted, fitting)
