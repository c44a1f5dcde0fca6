# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parameters of the playbooks, which a person gives with `-e NAME=VALUE`: the one place that declares them."""

from __future__ import annotations

from collections.abc import Iterable

# Variables of the roles, and those of Ansible itself, are none of the playbook's.
OTHERS = ("_", "ansible_", "app_", "gunicorn_", "keepalived_", "nginx_", "redis_")
# In a word this short one other letter is another word: stage is not a mistyped state.
SHORT = 5
LONG = 8

PARAMETERS: dict[str, dict[str, str]] = {
    "certs": {
        "action": "show, renew or dry-run",
        "site": "the one site that is meant",
    },
    "deploy": {
        "version": "the branch, tag or commit of app_source to deploy; the beginning of a commit will do",
        "resolve": "whether an app without a lock gets new versions of what it depends on",
    },
    "drain": {
        "server": "the entry of app_servers to drain",
        "reason": "why, for the others",
        "drain_timeout": "seconds for what is under way, 60 by default",
    },
    "exec": {
        "command": "the command",
        "release": "the release in whose environment it runs, the live one by default",
        "time_limit": "seconds that it may take, 600 by default",
    },
    "lock": {"state": "shown or broken"},
    "logs": {
        "lines": "how many, 100 by default",
        "since": "a time as journalctl takes it, -1h by default",
        "process": "one of app_processes",
        "job": "one of app_jobs",
    },
    "maintenance": {
        "state": "on or off",
        "site": "the one site that is meant",
        "retry_after": "seconds that clients are told, 300 by default",
        "allow": "addresses and networks that are served, with commas between them",
    },
    "patch": {
        "only": "the servers to upgrade, with commas between them",
        "reboot": "auto, always or never",
        "outage": "whether an outage is accepted",
        "reboot_timeout": "seconds that a reboot may take, 600 by default",
        "drain_timeout": "seconds for what is under way, 60 by default",
    },
    "releases": {"json": "the file to write"},
    "reload": {},
    "remove": {
        "app": "the app that leaves its servers",
        "data": "whether its data goes, too",
        "everything": "whether all of the collection leaves",
        "packages": "the packages that leave with everything, with commas between them",
    },
    "restart": {},
    "rollback": {
        "release": "the release to go back to; the beginning of its name will do",
        "insist": "whether one that failed or was interrupted is taken",
    },
    "status": {
        "json": "the file to write for a program",
        "html": "the page to write",
        "strict": "whether a problem fails the run",
    },
    "undrain": {"server": "the entry of app_servers to use again"},
}

# What another playbook calls it. A rollback would ignore the version and go to the release before, and a deploy would
# ignore the release and take the newest code.
ELSEWHERE = {("rollback", "version"): "release", ("deploy", "release"): "version"}
# What says that a part of the servers is meant. A restart would ignore it, and restart all.
PART = ("server", "servers", "only", "limit")


def parameter_problems(playbook: str, given: Iterable[str]) -> list[str]:
    """The given names that were probably meant to be parameters of the playbook, a sentence each.

    Other programs pass variables of their own, so a name that resembles none of them is not a problem.
    """
    declared = PARAMETERS[playbook]
    problems = []
    for name in given:
        if name in declared or name.startswith(OTHERS):
            continue
        elsewhere = ELSEWHERE.get((playbook, name), "")
        if name in PART:
            elsewhere = next((parameter for parameter in PART if parameter in declared), "")
            if not elsewhere:
                problems.append(f"{name} is not a parameter of this playbook; write --limit and the names of servers.")
                continue
        if meant := elsewhere or next((parameter for parameter in declared if resembles(name, parameter)), ""):
            problems.append(f"{name} is not a parameter of this playbook; write -e {meant}=…, {declared[meant]}.")
    return problems


def resembles(name: str, parameter: str) -> bool:
    """Whether a name is a parameter that was mistyped: by one letter, or by two where it is long."""
    name = name.lower().replace("-", "_")
    if name == parameter:
        return True
    if len(parameter) <= SHORT and len(name) == len(parameter) and sorted(name) != sorted(parameter):
        return False
    return distance(name, parameter) <= (2 if len(parameter) >= LONG else 1)


def distance(one: str, other: str) -> int:
    """How many letters to insert, remove, replace or exchange with the next (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, row = row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before = last
    return row[-1]
