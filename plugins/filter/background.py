# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The processes and jobs of an app, as people write them: what is wrong with them, and the units that they become."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

PROCESS_DEFAULTS: dict[str, Any] = {"count": 1, "stop_timeout": 30}
JOB_DEFAULTS: dict[str, Any] = {"timeout": 3600, "jitter": 0, "servers": "first"}
PROCESS_KEYS = ["name", "command", *PROCESS_DEFAULTS]
JOB_KEYS = ["name", "command", "schedule", *JOB_DEFAULTS]

# Lowest and highest number of each key; times are seconds.
RANGES = {"count": (0, 100), "stop_timeout": (1, 3600), "timeout": (1, 86400), "jitter": (0, 86400)}

# What /etc/NAME/run calls its own units begins with `run-`.
NAME = re.compile(r"(?!run-)[a-z][a-z0-9-]{0,30}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
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


def background_problems(processes: Any, jobs: Any) -> list[str]:
    """What is wrong with processes and jobs, a sentence each; empty when nothing is."""
    problems = []
    for variable, entries, keys in (("app_processes", processes, PROCESS_KEYS), ("app_jobs", jobs, JOB_KEYS)):
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            problems.append(f"{variable} is no list of dictionaries; write one, each with {', '.join(keys)}.")
            continue
        for number, entry in enumerate(entries, start=1):
            problems += [f"{variable}, entry {number}: {problem}" for problem in _entry_problems(entry, keys)]
    return problems or _double_names([*processes, *jobs])


def _entry_problems(entry: Mapping[str, Any], keys: list[str]) -> list[str]:
    name = entry.get("name", "")
    problems = [f"there is no key {key}; write one of {', '.join(keys)}." for key in entry if key not in keys]
    if not NAME.fullmatch(str(name)):
        problems.append(
            f'name is "{name}"; write a lower-case letter, then up to 30 letters, digits or dashes, but not run- first.'
        )
    if problem := _command_problem(entry.get("command")):
        problems.append(problem)
    if "schedule" in keys:
        problems += _schedule_problems(entry)
    for key, (lowest, highest) in RANGES.items():
        value = str(entry.get(key, lowest))
        if key in keys and not (re.fullmatch("[0-9]+", value) and lowest <= int(value) <= highest):
            problems.append(f'{key} is "{value}"; write a whole number from {lowest} to {highest}.')
    return problems


def _command_problem(command: Any) -> str:
    if not isinstance(command, str) or not command.strip():
        return "command is missing; write one such as python -m shop.mailer."
    if CONTROL.search(command):
        return "command has a line break or a control character; write it in one line, or put it into a script."
    try:
        shlex.split(command)
    except ValueError:
        return f"command has a quote that is not closed: {command}"
    return ""


def _schedule_problems(job: Mapping[str, Any]) -> list[str]:
    schedule, servers = job.get("schedule"), job.get("servers", "first")
    problems = []
    if not isinstance(schedule, str) or not schedule.strip() or CONTROL.search(schedule.strip()):
        problems.append('schedule is missing or no single line; write a time as systemd has it, "*-*-* 03:00:00".')
    if servers not in ("first", "all"):
        problems.append(f'servers is "{servers}"; write first (one server of the app runs the job) or all.')
    return problems


def _double_names(entries: list[Mapping[str, Any]]) -> list[str]:
    counted = Counter(str(entry["name"]) for entry in entries)
    return [
        f"app_processes and app_jobs have {name} {times} times; give each a name of its own."
        for name, times in counted.items()
        if times > 1
    ]


class FilterModule:
    """Registers the filters with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name and function of each filter."""
        return {"process_units": process_units, "job_units": job_units, "background_problems": background_problems}
