# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which servers deploy together, in which batches, and by which steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import servers_of


@dataclass(frozen=True)
class Step:
    """A file of playbooks/steps/deploy, the batch that it is about, and whether it follows success or trouble."""

    name: str
    batch: int = 0
    after: str = "success"


@dataclass(frozen=True)
class Wishes:
    """What a server has live, the release that it is to have, and how; `changes` if that is a deploy."""

    app: str
    release: str
    live: str
    changes: bool
    batches: Sequence[int | str]
    migrates: bool


def wishes_of(variables: Mapping[str, Any]) -> Wishes | None:
    """What a server says of the deploy, by what the checks have registered; None where it has not been looked at."""
    found, checked = variables.get("app_release"), variables.get("__app_checked")
    if not found or not checked:
        return None
    release, settings = str(found["release"]["name"]), checked["settings"]
    return Wishes(
        app=str(settings["app_name"]),
        release=release,
        live=str(found["live"]),
        changes=bool(found["unfinished"]) or not found["complete"] or found["live"] != release,
        batches=settings["app_batches"],
        migrates=bool(checked["derived"]["migrates"]),
    )


def deploy_plan(
    hosts: Sequence[str], hostvars: Mapping[str, Any], app_servers: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """For each app its servers in this run, whether any of them gets another release, the batches and the steps.

    `app_servers` are those of the inventory; `all` has those of the app, whether they are in this run or not. `wishes`
    has those of each server, which what is registered later in the run does not say any more.
    """
    apps: dict[str, dict[str, Wishes]] = {}
    for host in hosts:
        if wishes := wishes_of(hostvars[host]):
            apps.setdefault(wishes.app, {})[host] = wishes
    return {app: {**plan(servers), "all": servers_of(app_servers, app, hostvars)} for app, servers in apps.items()}


def plan(servers: Mapping[str, Wishes]) -> dict[str, Any]:
    """The deploy of one app to these servers."""
    first = next(iter(servers.values()))
    new = any(wishes.changes for wishes in servers.values())
    # Without a new release there is nothing for clients to see, and so one batch.
    divided = batches(list(servers), first.batches if new else ["100%"])
    found = steps(len(divided), migrates=first.migrates) if new else [Step("build"), Step("switch")]
    # Apps share a step only when all of their steps are the same. Ansible would do a shared step at the place that it
    # has in the list of one app, and so before what the other one has to do first.
    of = " ".join(f"{step.name} {step.batch}" for step in found)
    named = [{**asdict(step), "of": of} for step in found]
    # A server that had no release before has no clients yet.
    canaries = [host for host in divided[0] if servers[host].changes and servers[host].live]
    return {
        "servers": list(servers),
        "wishes": {host: asdict(wishes) for host, wishes in servers.items()},
        "new": new,
        "batches": divided,
        "canaries": canaries,
        "steps": named,
    }


def steps(number_of_batches: int, *, migrates: bool) -> list[Step]:
    """The steps of a deploy that brings a new release, in their order."""
    found = [Step("begin"), Step("build")]
    # Without a migration the switch is soon enough to see whether there is memory for the release.
    found += [Step("migrate")] if migrates else []
    for batch in range(number_of_batches):
        found.append(Step("switch", batch))
        found += [Step("watch", batch)] if batch < number_of_batches - 1 else []
    return [*found, Step("verify"), Step("back", after="trouble")]


def batches(servers: Sequence[str], sizes: Sequence[int | str]) -> list[list[str]]:
    """Divide the servers: the first size is that of the first batch, and the last one holds for all that remain.

    Raises AnsibleFilterError when a size is neither a number from 1 nor a share up to 100%, which is rounded up.
    """
    numbers = [number_of(size, len(servers)) for size in sizes]
    if not numbers:
        raise AnsibleFilterError('app_batches is empty; write sizes of batches, such as [1, "50%"].')
    found: list[list[str]] = []
    rest = list(servers)
    while rest:
        number = numbers[min(len(found), len(numbers) - 1)]
        found.append(rest[:number])
        rest = rest[number:]
    return found


def number_of(size: int | str, servers: int) -> int:
    """How many servers a size means."""
    batch = values.batch(size)
    if batch is None:
        raise AnsibleFilterError(
            f'app_batches has {size}; write numbers from 1 or shares up to 100%, such as [1, "50%"].'
        )
    return -(-servers * batch.number // 100) if batch.is_share else batch.number
