# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a deploy has ended, and what it says of that."""

from __future__ import annotations

DOCUMENTATION = r"""
name: deploy_end
short_description: Say how a deploy has ended
description:
  - Whether the release is to be recorded as live or as failed, and the last message of the deploy.
  - A release has failed when a server has made it live or tried to, and the deploy went wrong after that. What stopped
    the deploy before that, as a migration that fails does, says nothing of the release.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, reached, troubles
options:
  _input:
    description: The servers of the app in this run.
    type: list
    elements: str
    required: true
  hostvars:
    description: All variables of all hosts.
    type: dict
    required: true
  reached:
    description: Those of the servers that still answer.
    type: list
    elements: str
    required: true
  troubles:
    description: What went wrong, a sentence for each server.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say how it ended
  ansible.builtin.debug:
    msg: "{{ ['app1', 'app2'] | production.fastapi.deploy_end(hostvars, ansible_play_hosts, []) }}"
"""

RETURN = r"""
_value:
  description:
    - C(outcome), which is V(live), V(failed), or empty when the release was not tried, and C(message), the lines that
      say what went wrong and what is live now.
  type: dict
  sample: {outcome: live, message: ""}
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

LIVE = "live"
FAILED = "failed"


def deploy_end(
    servers: Sequence[str], hostvars: Mapping[str, Any], reached: Sequence[str], troubles: Sequence[str]
) -> dict[str, str]:
    """The outcome for the history, and the last message of a deploy that went wrong."""
    if not troubles:
        return {"outcome": LIVE, "message": ""}
    new = any(hostvars[server]["__deploy"]["changes"] for server in servers)
    outcome = FAILED if new and any(tried(hostvars[server]) for server in servers) else ""
    return {"outcome": outcome, "message": "\n".join(message(servers, hostvars, reached, troubles, outcome))}


def tried(variables: Mapping[str, Any]) -> bool:
    """Whether a server has made the release live in this deploy, or has refused it after it was started."""
    release, found_live = variables["__deploy"]["release"], variables["__deploy"]["live"]
    switched = variables.get("gunicorn_switch") or {}
    # The way back has found the release live, so it is the one before that; where it has failed, it is live still.
    return release in (switched.get("refused"), switched.get("previous")) or (
        switched.get("live") == release and (bool(switched.get("changed")) or found_live != release)
    )


def message(
    servers: Sequence[str],
    hostvars: Mapping[str, Any],
    reached: Sequence[str],
    troubles: Sequence[str],
    outcome: str,
) -> list[str]:
    """What went wrong, what is live on each server, and what the deploy has left, in lines."""
    deploy = hostvars[servers[0]]["__deploy"]
    stays = any(live_on(hostvars[server]) == hostvars[server]["__deploy"]["release"] for server in servers)
    lines = [f"{deploy['app']} {deploy['release']} was not deployed.", *troubles]
    for server in servers:
        if server in reached:
            lines.append(f"{server} has {live_on(hostvars[server]) or 'no release'} live now.")
        else:
            lines.append(f"{server} is not reached, so what it has live is not known.")
    if outcome and stays and not deploy["live"]:
        lines.append("There was no release before, so none could come back.")
    if outcome:
        lines.append(f"{deploy['release']} is recorded as failed: rollback takes it only by name, with -e insist=true.")
    return lines + list(leftovers(servers, hostvars))


def live_on(variables: Mapping[str, Any]) -> str:
    """The release that a server has live, as far as this deploy knows."""
    switched = variables.get("gunicorn_switch") or {}
    return str(switched.get("live", variables["__deploy"]["live"]) or "")


def leftovers(servers: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    """What stays changed on the disks, a sentence for the servers with the same files."""
    changed: dict[tuple[str, ...], list[str]] = {}
    for server in servers:
        written = (hostvars[server].get("gunicorn_configured") or {}).get("files") or {}
        # The script that tries a configuration has the number of each in it, and no process reads it.
        files = [file for file in written if not file.endswith("/try")]
        if files and hostvars[server]["__deploy"]["live"]:
            changed.setdefault(tuple(sorted(files)), []).append(server)
    return [
        f"The configuration of this deploy stays on {' and '.join(names)}: {', '.join(files)}. Processes that"
        " have started since run with it, and the next start of another takes it; to have the former one back, deploy"
        " with the former variables."
        for files, names in changed.items()
    ]


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"deploy_end": deploy_end}
