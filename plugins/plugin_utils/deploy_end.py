# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a deploy has ended: whether its release is recorded as live or as failed, and the last message.

A release has failed when a server has made it live or tried to, and the deploy went wrong after that. What stopped the
deploy before that, as a migration that fails does, says nothing of the release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Wishes = Mapping[str, Mapping[str, Any]]

LIVE = "live"
FAILED = "failed"


def deploy_end(
    wishes: Wishes, hostvars: Mapping[str, Any], reached: Sequence[str], troubles: Sequence[str]
) -> dict[str, str]:
    """The outcome for the history, and the last message of a deploy that went wrong; `wishes` as `deploy_plan` has."""
    if not troubles:
        return {"outcome": LIVE, "message": ""}
    new = any(wished["changes"] for wished in wishes.values())
    outcome = FAILED if new and any(tried(wished, hostvars[server]) for server, wished in wishes.items()) else ""
    return {"outcome": outcome, "message": "\n".join(message(wishes, hostvars, reached, troubles, outcome))}


def tried(wished: Mapping[str, Any], variables: Mapping[str, Any]) -> bool:
    """Whether a server has made the release live in this deploy, or has refused it after it was started."""
    release, found_live = wished["release"], wished["live"]
    switched = variables.get("gunicorn_switch") or {}
    # The way back has found the release live, so it is the one before that; where it has failed, it is live still.
    return release in (switched.get("refused"), switched.get("previous")) or (
        switched.get("live") == release and (bool(switched.get("changed")) or found_live != release)
    )


def message(
    wishes: Wishes,
    hostvars: Mapping[str, Any],
    reached: Sequence[str],
    troubles: Sequence[str],
    outcome: str,
) -> list[str]:
    """What went wrong, what is live on each server, and what the deploy has left, in lines."""
    deploy = next(iter(wishes.values()))
    live = {server: live_on(wished, hostvars[server]) for server, wished in wishes.items()}
    stays = any(live[server] == wished["release"] for server, wished in wishes.items())
    lines = [f"{deploy['app']} {deploy['release']} was not deployed.", *troubles]
    for server in wishes:
        if server in reached:
            lines.append(f"{server} has {live[server] or 'no release'} live now.")
        else:
            lines.append(f"{server} is not reached, so what it has live is not known.")
    if outcome and stays and not deploy["live"]:
        lines.append("There was no release before, so none could come back.")
    if outcome:
        lines.append(f"{deploy['release']} is recorded as failed: rollback takes it only by name, with -e insist=true.")
    return lines + leftovers(wishes, hostvars)


def live_on(wished: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    """The release that a server has live, as far as this deploy knows."""
    switched = variables.get("gunicorn_switch") or {}
    return str(switched.get("live", wished["live"]) or "")


def leftovers(wishes: Wishes, hostvars: Mapping[str, Any]) -> list[str]:
    """What stays changed on the disks, a sentence for the servers with the same files."""
    changed: dict[tuple[str, ...], list[str]] = {}
    for server, wished in wishes.items():
        written = (hostvars[server].get("gunicorn_configured") or {}).get("files") or {}
        # The script that tries a configuration has the number of each in it, and no process reads it.
        files = [file for file in written if not file.endswith("/try")]
        if files and wished["live"]:
            changed.setdefault(tuple(sorted(files)), []).append(server)
    return [
        f"The configuration of this deploy stays on {' and '.join(names)}: {', '.join(files)}. Processes that"
        " have started since run with it, and the next start of another takes it; to have the former one back, deploy"
        " with the former variables."
        for files, names in changed.items()
    ]
