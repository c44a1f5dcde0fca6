# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the processes and jobs of an app."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.background import JOB_DEFAULTS, PROCESS_DEFAULTS
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import is_one_line, name, number

PROCESS_KEYS = ["name", "command", *PROCESS_DEFAULTS]
JOB_KEYS = ["name", "command", "schedule", *JOB_DEFAULTS]

# Lowest and highest number of each key; times are seconds.
RANGES = {"count": (0, 100), "stop_timeout": (1, 3600), "timeout": (1, 86400), "jitter": (0, 86400)}


def background_problems(processes: Any, jobs: Any) -> list[str]:
    """What is wrong with processes and jobs, a sentence each; empty when nothing is."""
    problems = []
    for variable, entries, keys in (("app_processes", processes, PROCESS_KEYS), ("app_jobs", jobs, JOB_KEYS)):
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            problems.append(f"{variable} is not a list of dictionaries; write one, each with {', '.join(keys)}.")
            continue
        for place, entry in enumerate(entries, start=1):
            problems += [f"{variable}, entry {place}: {problem}" for problem in _entry_problems(entry, keys)]
    return problems or _double_names([*processes, *jobs])


def _entry_problems(entry: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    called = str(entry.get("name", ""))
    problems = [f"there is no key {key}; write one of {', '.join(keys)}." for key in entry if key not in keys]
    # What /etc/NAME/run calls its own units begins with `run-`.
    if name(called) is None or called.startswith("run-"):
        problems.append(
            f'name is "{called}"; write a lower-case letter, then up to 30 letters, digits or dashes, but not run- '
            "first."
        )
    if problem := _command_problem(entry.get("command")):
        problems.append(problem)
    if "schedule" in keys:
        problems += _schedule_problems(entry)
    for key, (lowest, highest) in RANGES.items():
        value = entry.get(key, lowest)
        if key in keys and number(value, lowest, highest) is None:
            problems.append(f'{key} is "{value}"; write a whole number from {lowest} to {highest}.')
    return problems


def _command_problem(command: Any) -> str:
    if not isinstance(command, str) or not command.strip():
        return "command is missing; write one such as python -m shop.mailer."
    if not is_one_line(command):
        return "command has a line break or a control character; write it in one line, or put it into a script."
    try:
        shlex.split(command)
    except ValueError:
        return f"command has a quote that is not closed: {command}"
    return ""


def _schedule_problems(job: Mapping[str, Any]) -> list[str]:
    schedule, servers = job.get("schedule"), job.get("servers", "first")
    problems = []
    if not isinstance(schedule, str) or not schedule.strip() or not is_one_line(schedule.strip()):
        problems.append('schedule is missing or no single line; write a time as systemd has it, "*-*-* 03:00:00".')
    if servers not in ("first", "all"):
        problems.append(f'servers is "{servers}"; write first (one server of the app runs the job) or all.')
    return problems


def _double_names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    counted = Counter(str(entry["name"]) for entry in entries)
    return [
        f"app_processes and app_jobs have {called} {times} times; give each a name of its own."
        for called, times in counted.items()
        if times > 1
    ]
