# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the servers have told of themselves as one report: who is how, and what somebody should look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import server_of
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory_name import inventory_name
from ansible_collections.production.fastapi.plugins.plugin_utils.leaving import strangers
from ansible_collections.production.fastapi.plugins.plugin_utils.rejected import sentences_of
from ansible_collections.production.fastapi.plugins.plugin_utils.upstream import server_address

GROUPS = ("load_balancers", "app_servers", "redis_servers")

# From here on a figure is a problem.
FULL_PERCENT = 90
MEMORY_PERCENT = 5
CLOCK_BEHIND = 2.0
STEADY = 600.0  # seconds after which a process that was started again counts as one that stays up
CLOCK_AHEAD = 20.0  # the time that asking takes is in it
LIFE_LEFT = 0.2  # of a certificate: renewal begins at a third

Report = dict[str, Any]
Hosts = Mapping[str, Any]


def status_members(sites: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The addresses of the members of each site."""
    return {site["name"]: [server_address(server) for server in site["servers"]] for site in sites}


def status_report(groups: Mapping[str, Sequence[str]], hostvars: Hosts, variable: str) -> Report:
    """The report of all hosts whose `variable` has what the module `server_state` has returned for them."""
    names = dict.fromkeys(host for group in GROUPS for host in groups.get(group, ()) if variable in hostvars[host])
    servers: list[dict[str, Any]] = []
    for name in names:
        told = hostvars[name][variable]
        server = {"name": name, "groups": [group for group in GROUPS if name in groups.get(group, ())]}
        said = str(told.get("msg", "it gave no answer")).strip().splitlines()
        servers.append(server | ({"state": told} if "disks" in told else {"error": said[-1] if said else ""}))
    installed = {server["name"]: server["state"].get("installed", {}) for server in servers if "state" in server}
    served = {server["name"]: server["state"].get("served", {}) for server in servers if "state" in server}
    inventories = {name: inventory_name(hostvars[name]) for name in names}
    sentences = strangers(groups, hostvars, installed, served, inventories)
    return report_of(servers, list(ways(servers, hostvars)), sentences)


def ways(servers: Sequence[Mapping[str, Any]], hostvars: Hosts) -> Iterator[dict[str, Any]]:
    """From which load balancer to which app server requests go, and whether that one answers."""
    for balancer in servers:
        asked = balancer.get("state", {}).get("sites", {})
        for member in servers:
            app = hostvars[member["name"]].get("app_name", "app")
            if app not in asked or "app_servers" not in member["groups"]:
                continue
            try:
                address = server_of(app, member["name"], hostvars, balancer["name"])
            except AnsibleFilterError:
                continue  # complete servers beside each other, each of which serves itself
            if address in asked[app]:
                good = is_good(asked[app][address])
                yield {"balancer": balancer["name"], "member": member["name"], "good": good}


def report_of(
    servers: Sequence[Mapping[str, Any]], ways: Sequence[Mapping[str, Any]] = (), left: Sequence[str] = ()
) -> Report:
    """One report of all servers: `problems` and `notes`, which are sentences, `ok` without a problem, and who told.

    Each server has `name`, `groups`, and either `state`, as the module `server_state` returns it, or `error`. Each of
    the `ways` has `balancer` and `member`, which are names, and `good`: whether that member answers that load balancer.
    Each of `left` is a sentence on an app that is on a server and not in the inventory.
    """
    problems = [sentence for server in servers for sentence in server_problems(server)]
    problems += list(several_releases(servers))
    notes = [note for server in servers for note in server_notes(server)] + list(left)
    for address, holders in virtual_addresses(servers).items():
        if len(holders) == 1:
            notes.append(f"{holders[0]} holds the virtual address {address}.")
        else:
            who = f"{' and '.join(holders)} hold" if holders else "No load balancer holds"
            problems.append(f"{who} the virtual address {address}; `journalctl -u keepalived` says why.")
    return {
        "ok": not problems,
        "problems": problems,
        "notes": notes,
        "servers": [dict(server) for server in servers],
        "ways": [dict(way) for way in ways],
    }


def is_good(answer: Mapping[str, Any]) -> bool:
    """Whether a member answers."""
    return not answer["error"] and answer["status"] < 500


def server_problems(server: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one server, a sentence each."""
    name = server["name"]
    if server.get("error"):
        yield f"{name} cannot be asked: {server['error']}"
        return
    state = server["state"]
    for disk in state["disks"]:
        if disk["used_percent"] >= FULL_PERCENT:
            yield f"{name}: {disk['path']} is {disk['used_percent']} % full, {disk['free_mb']} MiB are free."
    memory = state["memory"]
    if memory["available_mb"] * 100 < memory["total_mb"] * MEMORY_PERCENT:
        yield f"{name} has {memory['available_mb']} MiB of memory left of {memory['total_mb']}."
    if not -CLOCK_AHEAD < state["behind"] < CLOCK_BEHIND:
        direction = "behind" if state["behind"] > 0 else "ahead of"
        yield f"The clock of {name} is {abs(state['behind']):.0f} s {direction} this machine's; see `timedatectl`."
    for unit in state["failed_units"]:
        yield f"{name}: {unit} has failed; `journalctl -u {unit}` says why."
    for app, found in state["apps"].items():
        if not found["release"]:
            yield f"{name} has no live release of {app}; deploy it."
        elif found["state"] != "active" or not found["workers"]:
            yield f"{name}: {app} does not run (its unit is {found['state']}, {found['workers']} workers)."
        for process, how in found.get("processes", {}).items():
            where = f"{name}: process {process} of {app}"
            advice = f"`logs -e process={process.rpartition('-')[0]}` says why."
            if how["restarts"] and how["up"] < STEADY:
                yield f"{where} does not stay up: systemd has started it again {how['restarts']} times; {advice}"
            elif how["state"] != "active":
                yield f"{where} does not run (its unit is {how['state']}); {advice}"
    yield from balancer_problems(server)


def balancer_problems(server: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the sites of one server."""
    name, state = server["name"], server["state"]
    wanted = {
        "nginx": bool(state["sites"]),
        "redis-server": "redis_servers" in server["groups"],
        "keepalived": bool(state["virtual"]),
    }
    for service, needed in wanted.items():
        if needed and state["services"][service] != "active":
            yield f"{name}: {service} does not run ({state['services'][service]})."
    for site, members in state["sites"].items():
        for address, answer in members.items():
            if answer["error"]:
                yield f"{name} gets no answer from {address} for {site}: {answer['error']}"
            elif answer["status"] >= 500:
                yield f"{name} gets {answer['status']} from {address} for {site}."
    for site, certificate in state["certificates"].items():
        if certificate["error"]:
            yield f"{name}: the certificate of {site} cannot be read: {certificate['error']}"
        elif certificate["days_left"] < certificate["days"] * LIFE_LEFT:
            yield f"{name}: the certificate of {site} ends in {certificate['days_left']:.1f} days."


def server_notes(server: Mapping[str, Any]) -> Iterator[str]:
    """What is worth knowing of one server and is not a problem."""
    if server.get("error"):
        return
    name, state = server["name"], server["state"]
    for sentence in sentences_of(state.get("rejected", {}), "in the last hour"):
        yield f"{name}: {sentence}"
    if state["reboot_required"]:
        yield f"{name} waits for a restart after an upgrade."
    for path in state["touched"]:
        yield f"{name}: {path} was changed since the run that wrote it; the next run puts it back."
    for app, since in state.get("left", {}).items():
        yield (
            f"{name}: /srv/{app}/shared is what {app} has left, which was removed on {since[:10]}; "
            f"`remove -e app={app} -e data=true` takes it away."
        )
    for app, found in state["apps"].items():
        if found["restarts"]:
            yield f"{name}: systemd has started {app} again {found['restarts']} times since its release is live."
        for process, how in found.get("processes", {}).items():
            if how["restarts"] and how["up"] >= STEADY:
                yield f"{name}: systemd has started process {process} of {app} again {how['restarts']} times."
        if found.get("outdated"):
            yield (
                f"{name}: {' and '.join(found['outdated'])} changed after {app} was started, as a deploy that fails"
                " leaves it; the next start takes what is on disk."
            )
        if found.get("configured_by"):
            yield (
                f"{name}: the configuration of {app} is that of the deploy of {found['configured_by']}, which failed;"
                " to have the former one back, deploy with the former variables."
            )
        if found.get("interrupted"):
            yield (
                f"{name}: the deploy of {found['release']} of {app} has not ended; when nobody deploys now, it was"
                " interrupted: run it again, or roll back."
            )
    for site, certificate in state["certificates"].items():
        if certificate["self_signed"]:
            yield f"{name}: the certificate of {site} is self-signed, so browsers warn of it."


def several_releases(servers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The apps of which not all servers run the same source."""
    live: dict[str, dict[str, list[str]]] = {}
    for server in servers:
        for app, found in (server.get("state") or {"apps": {}})["apps"].items():
            # The second half of a name depends on the server's Python.
            source = found["release"].partition("-")[0]
            live.setdefault(app, {}).setdefault(source, []).append(server["name"])
    for app, sources in live.items():
        if len(sources) > 1:
            where = ", ".join(f"{source or 'none'} on {' and '.join(names)}" for source, names in sources.items())
            yield f"{app} has several releases: {where}; deploy or roll back, so that all have one."


def virtual_addresses(servers: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Who holds each address that load balancers share."""
    found: dict[str, list[str]] = {}
    for server in servers:
        for address, held in (server.get("state") or {"virtual": {}})["virtual"].items():
            found.setdefault(address, []).extend([server["name"]] if held else [])
    return found


COLUMNS = (
    "SERVER",
    "GROUPS",
    "APP",
    "RELEASE",
    "SINCE",
    "WORKERS",
    "MEMBERS",
    "CERTIFICATE",
    "DISK",
    "MEMORY",
    "UPTIME",
)


def table_of(report: Report) -> list[str]:
    """The report for a terminal: a line for each server and app, then problems and notes, then the verdict."""
    rows = [COLUMNS, *(row for server in report["servers"] for row in rows_of(server))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for title, sentences in (("Problems", report["problems"]), ("Notes", report["notes"])):
        if sentences:
            lines += ["", f"{title}:", *(f"  {sentence}" for sentence in sentences)]
    return [*lines, "", verdict(report)]


def verdict(report: Report) -> str:
    """The report in one sentence."""
    servers, problems = len(report["servers"]), len(report["problems"])
    found = "no problem" if not problems else "1 problem" if problems == 1 else f"{problems} problems"
    return f"{servers} server{'s' if servers != 1 else ''}, {found}"


def rows_of(server: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The lines of one server; what is said of the server as a whole is in the first one."""
    groups = ",".join(group.removesuffix("s") for group in server["groups"])
    if server.get("error"):
        yield (server["name"], groups, "cannot be asked", *[""] * (len(COLUMNS) - 3))
        return
    state = server["state"]
    disk = max(state["disks"], key=lambda one: one["used_percent"], default={"used_percent": 0})
    whole = (
        members_of(state),
        certificates_of(state),
        f"{disk['used_percent']} %",
        f"{state['memory']['available_mb']} MiB free",
        duration(state["uptime"]),
    )
    first = True
    for app, found in (state["apps"] or {"": {"release": "", "since": "", "workers": "", "state": "active"}}).items():
        workers = str(found["workers"]) if found["state"] == "active" else found["state"]
        since = found["since"][:16].replace("T", " ")
        yield (
            *((server["name"], groups) if first else ("", "")),
            *(app, found["release"], since, workers),
            *(whole if first else [""] * len(whole)),
        )
        first = False


def members_of(state: Mapping[str, Any]) -> str:
    """How many members answer, of how many."""
    answers = [answer for members in state["sites"].values() for answer in members.values()]
    return f"{sum(map(is_good, answers))} of {len(answers)} up" if answers else ""


def certificates_of(state: Mapping[str, Any]) -> str:
    """The certificate that ends first."""
    first = min(state["certificates"].values(), key=lambda one: one["days_left"], default=None)
    if first is None:
        return ""
    return "self-signed" if first["self_signed"] else f"{first['days_left']:.0f} days"


def duration(seconds: float) -> str:
    """A time in its largest unit."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
