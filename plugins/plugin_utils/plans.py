# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What playbooks work out from the inventory and what was read of its hosts, each once for a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.production.fastapi.plugins.plugin_utils import leaving, patching
from ansible_collections.production.fastapi.plugins.plugin_utils.canary import judge
from ansible_collections.production.fastapi.plugins.plugin_utils.deploy_end import deploy_end
from ansible_collections.production.fastapi.plugins.plugin_utils.deploy_plan import deploy_plan
from ansible_collections.production.fastapi.plugins.plugin_utils.doctor import examination
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import drained
from ansible_collections.production.fastapi.plugins.plugin_utils.status import status_report, table_of
from ansible_collections.production.fastapi.plugins.plugin_utils.status_page import page_of

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """The inventory, the host of the task, and all hosts of the play, lost ones too."""

    groups: Mapping[str, Sequence[str]]
    hostvars: Mapping[str, Any]
    host: str = ""
    hosts: Sequence[str] = ()
    check_mode: bool = False


@dataclass(frozen=True)
class Plan:
    """What was worked out; `lines` are for the person who runs the playbook, and with `problems` the run ends."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def canary(run: Run, given: Given) -> Plan:
    """How the `canaries` do beside the others, by their `answers` on each load balancer, within these `limits`."""
    names = [run.hostvars[host]["app_release"]["release"]["name"] for host in given["canaries"]]
    return Plan(dict(judge(given["answers"], given["canaries"], list(dict.fromkeys(names)), **given["limits"])))


def deploy(run: Run, _given: Given) -> Plan:
    """The deploy of each app, by its name."""
    return Plan(deploy_plan(run.hosts, run.hostvars, run.groups.get("app_servers", ())))


def deploy_ended(run: Run, given: Given) -> Plan:
    """The `outcome` and the `message` of a deploy of these `servers`, by those still `reached` and the `troubles`."""
    return Plan(dict(deploy_end(given["servers"], run.hostvars, given["reached"], given["troubles"])))


def doctor(run: Run, given: Given) -> Plan:
    """All that stands in the way of a run; `given` has the `variable` with what was seen of a host."""
    return Plan(dict(examination(run.groups, run.hostvars, given["variable"])))


def left(run: Run, _given: Given) -> Plan:
    """The apps that have left the inventory."""
    return Plan(lines=leaving.left_apps(run.groups, run.hostvars, run.hosts))


def patch(run: Run, given: Given) -> Plan:
    """The `machines` in the order in which they are upgraded, and the `questions` that load balancers are asked."""
    only = str(given.get("only", ""))
    problems = patching.patch_problems(
        run.groups,
        run.hostvars,
        run.hosts,
        only=only,
        reboot=given.get("reboot", "auto"),
        outage=given.get("outage", False),
    )
    if problems:
        return Plan(problems=problems)
    machines = patching.patch_plan(run.groups, run.hostvars, only)
    return Plan({"machines": machines, "questions": patching.patch_questions(run.groups, run.hostvars)})


def patch_todo(run: Run, given: Given) -> Plan:
    """How many `upgrades` wait on the host, whether it is `wanted` to touch it, and a `line` that says so.

    `given` has the `machines` of the plan, what apt has `simulated`, and the parameter `reboot`.
    """
    upgrades = len([line for line in given["simulated"] if line.startswith("Inst ")])
    reasons = run.hostvars[run.host]["__patch_before"]["reboot_reasons"]
    resumes = any(machine["resumes"] for machine in given["machines"] if machine["host"] == run.host)
    reboots = given["reboot"] == "always" or (given["reboot"] == "auto" and bool(reasons))
    waits = f"; waits for a reboot: {', '.join(reasons)}" if reasons else ""
    line = f"{upgrades} packages to upgrade{waits}"
    return Plan({"upgrades": upgrades, "wanted": upgrades > 0 or reboots or resumes, "line": line})


def patch_end(run: Run, given: Given) -> Plan:
    """Where an upgrade has stopped, by what went wrong (`troubles`) and the `machines` of its plan."""
    known = {machine["host"]: run.hostvars[machine["host"]] for machine in given["machines"]}
    done = [host for host, variables in known.items() if variables.get("__patch_done")]
    rest = [host for host, variables in known.items() if variables.get("__patch_todo") and host not in done]
    drains = {server for machine in given["machines"] for server in machine["drains"]}
    away = [server for server in drained(run.groups, run.hostvars) if server in drains]
    still = f"; still drained, until patch or undrain: {', '.join(away)}" if away else ""
    why = " ".join(given["troubles"]).removesuffix(".")
    named = f"done: {', '.join(done) or 'none'}; left: {', '.join(rest) or 'none'}{still}"
    return Plan(problems=[f"The upgrade stopped: {why}; {named}."])


def removal(run: Run, given: Given) -> Plan:
    """One of the `hosts` of each machine, and the `packages` that leave."""
    meant = {
        "app": str(given.get("app") or ""),
        "everything": boolean(given.get("everything", False), strict=False),
        "packages": leaving.package_names(given.get("packages", "")),
    }
    problems = list(leaving.removal_problems(run.groups, run.hostvars, meant))
    hosts = leaving.first_of_machines(run.hosts, run.hostvars)
    return Plan({"hosts": hosts, "packages": meant["packages"]}, problems)


def removed(run: Run, given: Given) -> Plan:
    """What the module `removal` has done on a host: its `result`."""
    return Plan({"lines": leaving.removed(run.hostvars, run.host, given["result"], run.check_mode)})


def status(run: Run, given: Given) -> Plan:
    """The `report` for a program, its `table`, and the `page`, made at the time `now`.

    `given` also has the `variable` with what was seen of a host.
    """
    report = status_report(run.groups, run.hostvars, given["variable"])
    return Plan({"report": report, "table": table_of(report), "page": page_of(report, given["now"])})


PLANS: dict[str, Callable[[Run, Given], Plan]] = {
    "canary": canary,
    "deploy": deploy,
    "deploy_end": deploy_ended,
    "doctor": doctor,
    "left": left,
    "patch": patch,
    "patch_end": patch_end,
    "patch_todo": patch_todo,
    "removal": removal,
    "removed": removed,
    "status": status,
}
