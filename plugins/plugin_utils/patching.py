# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order machines are upgraded, and who does without which of them meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import PATCH, app_of, drained, machine, notes

GROUPS = ("app_servers", "redis_servers", "load_balancers")
REBOOTS = ("auto", "always", "never")
Groups = Mapping[str, Sequence[str]]
Variables = Mapping[str, Any]


def patch_plan(groups: Groups, hostvars: Variables, only: str = "") -> list[dict[str, Any]]:
    """The machines in the order in which they are upgraded."""
    away, left = out_of_use(groups, hostvars), interrupted(groups, hostvars)
    names: dict[tuple[str, str], list[str]] = {}
    for host in dict.fromkeys(host for group in GROUPS for host in groups.get(group, [])):
        names.setdefault(machine(host, hostvars), []).append(host)
    wanted = set(split(only))
    plan = []
    for hosts in names.values():
        if wanted and not wanted & set(hosts):
            continue
        servers = [host for host in hosts if host in groups.get("app_servers", [])]
        goes_on = [host for host in servers if host not in away and others(host, groups, hostvars, away)]
        balancers = [host for host in hosts if host in groups.get("load_balancers", [])]
        resumes = [host for host in goes_on if host in left]
        plan.append(
            {"host": hosts[0], "servers": servers, "balancers": balancers, "drains": goes_on, "resumes": resumes}
        )
    return sorted(plan, key=lambda entry: bool(entry["balancers"]))


def interrupted(groups: Groups, hostvars: Variables) -> list[str]:
    """The servers that an upgrade has drained and nobody else; one that goes on holds the locks of the apps."""
    return [
        server
        for server in drained(groups, hostvars)
        if all(entries[server].get("by") == PATCH for entries in notes(groups, hostvars) if server in entries)
    ]


def out_of_use(groups: Groups, hostvars: Variables) -> list[str]:
    """The servers that do not serve: what an operator has drained, and those without a running app."""
    left = interrupted(groups, hostvars)
    asked_for = [server for server in drained(groups, hostvars) if server not in left]
    return asked_for + [server for server in groups.get("app_servers", []) if not runs(server, hostvars)]


def runs(server: str, hostvars: Variables) -> bool:
    """Whether the app of a server runs, as far as is known."""
    variables = hostvars[server]
    apps = variables.get("__patch_before", {}).get("apps", {})
    return bool(apps.get(app_of(server, hostvars), {"state": "active"})["state"] == "active")


def nginx_runs(balancer: str, hostvars: Variables) -> bool:
    """Whether Nginx runs on a load balancer, as far as is known."""
    services = hostvars[balancer].get("__patch_before", {}).get("services", {})
    return bool(services.get("nginx", "active") == "active")


def others(server: str, groups: Groups, hostvars: Variables, away: Sequence[str]) -> list[str]:
    """The servers on other machines that go on with the app of this one."""
    app, here = app_of(server, hostvars), machine(server, hostvars)
    return [
        other
        for other in groups.get("app_servers", [])
        if other not in away and app_of(other, hostvars) == app and machine(other, hostvars) != here
    ]


def patch_problems(
    groups: Groups,
    hostvars: Variables,
    hosts: Sequence[str],
    *,
    only: str = "",
    reboot: str = "auto",
    outage: Any = False,
) -> list[str]:
    """Why the machines cannot be upgraded one after the other, one sentence each; `hosts` are those of the run."""
    known = dict.fromkeys(host for group in GROUPS for host in groups.get(group, []))
    problems = []
    if reboot not in REBOOTS:
        problems.append(f"reboot is {reboot!r}; write -e reboot= with one of {', '.join(REBOOTS)}.")
    problems += [
        f"only has {name!r}; write -e only=NAME with one or more of {', '.join(known)}."
        for name in split(only)
        if name not in known
    ]
    if missing := [host for host in known if host not in hosts]:
        problems.append(
            f"This run leaves out {', '.join(missing)}, but all servers must take part while one is down; "
            "write -e only=NAME instead of --limit."
        )
    if problems or boolean(outage):
        return problems
    away = out_of_use(groups, hostvars)
    for entry in patch_plan(groups, hostvars, only):
        alone = [host for host in entry["servers"] if host not in away and host not in entry["drains"]]
        problems += [
            f"{host} is the only server of the app {app_of(host, hostvars)} that runs and is not "
            "drained, so its upgrade is an outage; add, start or undrain another one, or write -e outage=true."
            for host in alone
        ]
        here = {machine(host, hostvars) for host in entry["balancers"]}
        serving = [host for host in groups.get("load_balancers", []) if nginx_runs(host, hostvars)]
        if here and not {machine(host, hostvars) for host in serving} - here:
            problems.append(
                f"{entry['balancers'][0]} is the only load balancer whose Nginx runs, so its upgrade is an outage; add "
                "another one or start it by site.yml, leave this one out by -e only=NAME with the other servers, or "
                "write -e outage=true."
            )
    return problems


def split(names: str) -> list[str]:
    """The names between commas."""
    return [name.strip() for name in str(names).split(",") if name.strip()]


def patch_questions(groups: Groups, hostvars: Variables) -> list[dict[str, str]]:
    """What to ask every load balancer for: `app`, `domain` and `path` of each app that clients get."""
    questions: dict[str, dict[str, str]] = {}
    for host in groups.get("app_servers", []):
        variables = hostvars[host]
        domains = variables.get("app_domains") or []
        domain = domains if isinstance(domains, str) else next(iter(domains), "")
        if domain and boolean(variables.get("app_public", True)):
            app = app_of(host, hostvars)
            path = variables.get("app_verify_path") or variables.get("gunicorn_readiness_path") or "/healthz"
            questions.setdefault(app, {"app": app, "domain": str(domain), "path": str(path)})
    return list(questions.values())
