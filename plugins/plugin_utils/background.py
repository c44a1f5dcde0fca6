# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The units that the processes and jobs of an app become."""

from __future__ import annotations

import re
import shlex
from typing import Any

PROCESS_DEFAULTS: dict[str, Any] = {"count": 1, "stop_timeout": 30}
JOB_DEFAULTS: dict[str, Any] = {"timeout": 3600, "jitter": 0, "servers": "first"}
PLAIN = re.compile(r"[A-Za-z0-9_./:=,@%$+-]+")


def process_units(processes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per process and number: `unit` (as mailer-2), `command` (as a unit has it) and `stop_timeout`."""
    return [
        {
            "unit": f"{each['name']}-{number}",
            "command": unit_command(each["command"]),
            "stop_timeout": each["stop_timeout"],
        }
        for each in ({**PROCESS_DEFAULTS, **process} for process in processes)
        for number in range(1, int(each["count"]) + 1)
    ]


def job_units(jobs: list[dict[str, Any]], first: bool) -> list[dict[str, Any]]:
    """The jobs of a server, complete, their commands as a unit has them; `first` tells the app's first server."""
    complete = [{**JOB_DEFAULTS, **job} for job in jobs]
    mine = [job for job in complete if first or job["servers"] == "all"]
    return [{**job, "command": unit_command(job["command"]), "schedule": job["schedule"].strip()} for job in mine]


def unit_command(command: str) -> str:
    """The words of a command, split as a shell does, for an ExecStart that hands them on unchanged."""
    return " ".join(_unit_word(word) for word in shlex.split(command))


def _unit_word(word: str) -> str:
    """The word without what systemd would replace or take apart."""
    text = word.replace("%", "%%").replace("$", "$$")
    if PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
