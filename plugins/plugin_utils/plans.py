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
from ansible_collections.production.fastapi.plugins.plugin_utils.printed import how_it_ended, last_lines, masked
from ansible_collections.production.fastapi.plugins.plugin_utils.status import status_report, table_of
from ansible_collections.production.fastapi.plugins.plugin_utils.status_page import page_of

CERTIFICATE_ACTIONS = ("show", "renew", "dry-run")
SHORT = 8  # letters of the name of a release

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
    """What was worked out, with the lines that a task of the playbook shows; with `problems` the run ends."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def app_command(_run: Run, given: Given) -> Plan:
    """That a `step` of a deploy has failed: its `command`, what it `ran` into, and the time `limit` in seconds.

    Secrets of the `environment` and the `files` of the app are masked.
    """
    printed = last_lines(given["ran"], given["environment"], given["files"])
    ended = how_it_ended(given["ran"], given["limit"])
    return Plan(problems=[f"{given['step']}, {given['command']}, {ended}.{printed}"])


def app_log(_run: Run, given: Given) -> Plan:
    """That the log of an app cannot be read, by what the `reader` has said; secrets are masked as by `app_command`."""
    said = given["reader"].get("stderr") or given["reader"].get("msg", "")
    return Plan(problems=[f"The log cannot be read: {masked(said, given['environment'], given['files'])}"])


def budget(_run: Run, given: Given) -> Plan:
    """Whether more requests fail from the switch on than `allowed` in a hundred, by the receipt that was `noticed`."""
    phases = {phase["name"]: phase for phase in given["noticed"]["phases"]}
    requests, failed = ({name: int(phase[what]) for name, phase in phases.items()} for what in ("requests", "failed"))
    later, later_failed = requests["during"] + requests["after"], failed["during"] + failed["after"]
    more = 100 * later_failed / max(1, later) - 100 * failed["before"] / max(1, requests["before"])
    if more <= float(given["allowed"]):
        return Plan()
    page = given["noticed"].get("page")
    which = f" The receipt says which: {page}" if page else ""
    return Plan(
        problems=[
            f"Of {later} requests through Nginx from the switch on {later_failed} failed, of {requests['before']} "
            f"before it {failed['before']}; app_receipt_budget allows {given['allowed']} in a hundred more.{which}"
        ]
    )


def canary(run: Run, given: Given) -> Plan:
    """How the `canaries` do beside the others, by their `answers` on each load balancer, within these `limits`."""
    names = [run.hostvars[host]["app_release"]["release"]["name"] for host in given["canaries"]]
    return Plan(dict(judge(given["answers"], given["canaries"], list(dict.fromkeys(names)), **given["limits"])))


def certs(_run: Run, given: Given) -> Plan:
    """What the playbook `certs` can do."""
    if given["action"] in CERTIFICATE_ACTIONS:
        return Plan()
    return Plan(problems=[f"action is {given['action']}; write show, renew or dry-run."])


def command(_run: Run, given: Given) -> Plan:
    """Whether there is a `command` to run, and all of it; `strays` are words of it that Ansible took for variables."""
    if not given["command"]:
        return Plan(problems=['Say what to run, as in -e command="python -m shop.tool".'])
    if given["strays"]:
        example = """-e '{"command": "python -m shop.tool --name=value"}'"""
        return Plan(problems=[f"The shell has not kept the command together; write it as JSON: {example}."])
    return Plan()


def command_end(_run: Run, given: Given) -> Plan:
    """How the command has ended, by its exit `code`."""
    return Plan(problems=[f"The command ended with exit code {given['code']}."] if int(given["code"]) else [])


def deploy(run: Run, _given: Given) -> Plan:
    """The deploy of each app, by its name."""
    return Plan(deploy_plan(run.hosts, run.hostvars, run.groups.get("app_servers", ())))


def deploy_ended(run: Run, given: Given) -> Plan:
    """The `outcome` and the `message` of a deploy, by the `wishes` of its servers, those `reached`, the `troubles`."""
    return Plan(dict(deploy_end(given["wishes"], run.hostvars, given["reached"], given["troubles"])))


def deployed(run: Run, given: Given) -> Plan:
    """What was deployed in the place of what was live `before`, and what clients `noticed` of it.

    A load balancer that was not `asked`, because the app did not answer there before, cannot say that it does now.
    """
    before, release, count = str(given["before"]), str(given["release"]), len(given["servers"])
    # Of a release that only differs in how it was built, the whole name.
    width = SHORT if before[:SHORT] != release[:SHORT] else None
    noticed = given["noticed"]
    told = f"; {noticed['line']}" if "line" in noticed else ""
    told = told or (f"; there is no receipt: {noticed['problem']}" if "problem" in noticed else "")
    if before and given["domains"] and boolean(given["public"]):
        unasked = [name for name in run.groups.get("load_balancers", ()) if name not in given["asked"]]
        where = f"Nginx on {', '.join(unasked)}, where the app did not answer before the deploy"
        told += f"; not checked through {where}" if unasked else ""
    on = f"{count} host{'s' if count > 1 else ''}"
    return Plan(shown=[f"{given['app']}: {before[:width] or 'nothing'} → {release[:width]} on {on}{told}"])


def doctor(run: Run, given: Given) -> Plan:
    """All that stands in the way of a run; `given` has the `variable` with what was seen of a host."""
    found = examination(run.groups, run.hostvars, given["variable"])
    count = len(found["problems"])
    verdict = f"Problems in the way of a run: {count}. They stand above, each with what to do." if count else ""
    return Plan({"problems": found["problems"], "verdict": verdict}, shown=found["lines"])


def left(run: Run, _given: Given) -> Plan:
    """The apps that have left the inventory."""
    return Plan(warnings=leaving.left_apps(run.groups, run.hostvars, run.hosts))


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
    """How many `upgrades` wait on the host, and whether it is `wanted` to touch it; `packages` and `line` say so.

    `given` has the `machines` of the plan, what apt has `simulated`, and the parameter `reboot`.
    """
    upgrades = len([line for line in given["simulated"] if line.startswith("Inst ")])
    reasons = run.hostvars[run.host]["__patch_before"]["reboot_reasons"]
    resumes = any(machine["resumes"] for machine in given["machines"] if machine["host"] == run.host)
    reboots = given["reboot"] == "always" or (given["reboot"] == "auto" and bool(reasons))
    waits = f"; waits for a reboot: {', '.join(reasons)}" if reasons else ""
    packages = "1 package" if upgrades == 1 else f"{upgrades} packages"
    line = f"{packages} to upgrade{waits}"
    wanted = upgrades > 0 or reboots or resumes
    return Plan({"upgrades": upgrades, "packages": packages, "wanted": wanted, "line": line})


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


def releases(run: Run, given: Given) -> Plan:
    """The releases of all `hosts`, for a program."""
    known = {host: run.hostvars[host]["gunicorn_releases"] for host in given["hosts"]}
    names = ("name", "live", "previous", "releases")
    return Plan({"told": {host: {name: found[name] for name in names} for host, found in known.items()}})


def way_back(run: Run, given: Given) -> Plan:
    """Whether the servers of the app `name` go back to one release; those of another one are on a way of their own."""
    found = {host: run.hostvars[host]["__gunicorn_way_back"] for host in given["hosts"]}
    ways = {host: str(way["chosen"]) for host, way in found.items() if way["name"] == given["name"]}
    # By the source: how it is built, the last part of the name, differs between servers with another Python.
    if len({source_of(release) for release in ways.values()}) <= 1:
        return Plan()
    named = ", ".join(f"{host} to {release}" for host, release in ways.items())
    return Plan(
        problems=[
            f"The servers of {given['name']} would go back to different releases: {named}; name one of them with "
            "-e release=NAME."
        ]
    )


def source_of(release: str) -> str:
    """What the name of a release says of its source."""
    source, dash, build = release.rpartition("-")
    return source if dash and build and set(build) <= set("0123456789abcdef") else release


def went_back(_run: Run, given: Given) -> Plan:
    """What is live, and what was before, by what `switch` has returned."""
    switched = given["switch"]
    already = "" if switched.get("changed") else " already"
    return Plan(shown=[f"{switched['live']} is live{already}; {switched.get('previous') or 'nothing'} was before."])


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
    return Plan(shown=leaving.removed(run.hostvars, run.host, given["result"], run.check_mode))


def schema(_run: Run, given: Given) -> Plan:
    """That the database did not say its revision, by what Alembic `ran` into; masked as by `app_command`."""
    printed = last_lines(given["ran"], given["environment"], given["files"])
    ended = f"Alembic's env.py ended with exit code {given['ran']['rc']}"
    return Plan(problems=[f"The database did not say which revision it has; {ended}.{printed}"])


def status(run: Run, given: Given) -> Plan:
    """The `report` for a program, and the `page`, made at the time `now`; the table is shown.

    `given` also has the `variable` with what was seen of a host.
    """
    report = status_report(run.groups, run.hostvars, given["variable"])
    return Plan({"report": report, "page": page_of(report, given["now"])}, shown=table_of(report))


PLANS: dict[str, Callable[[Run, Given], Plan]] = {
    "app_command": app_command,
    "app_log": app_log,
    "budget": budget,
    "canary": canary,
    "certs": certs,
    "command": command,
    "command_end": command_end,
    "deploy": deploy,
    "deploy_end": deploy_ended,
    "deployed": deployed,
    "doctor": doctor,
    "left": left,
    "patch": patch,
    "patch_end": patch_end,
    "patch_todo": patch_todo,
    "releases": releases,
    "removal": removal,
    "removed": removed,
    "schema": schema,
    "status": status,
    "way_back": way_back,
    "went_back": went_back,
}
