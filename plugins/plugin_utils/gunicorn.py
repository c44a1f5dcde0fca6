# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role gunicorn works out from its settings and the inventory: who gets through, and what runs beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils import unit_sandbox
from ansible_collections.production.fastapi.plugins.plugin_utils.background import job_units, process_units
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import boolean, endpoint, number
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import addresses, runs_here, servers_of
from ansible_collections.production.fastapi.plugins.plugin_utils.sites import static_entries, static_of

# Seconds for which Nginx keeps an idle connection to an app: by the default of its role, and by its own.
NGINX_IDLE = 2
ANY_NGINX_IDLE = 60
# What the processes of a release are started with, and then reload.
PROGRAMS = ("gunicorn.conf", "drain_worker", "kept_files", "workers_for_host")
NOT_STARTED = "The release does not start with this configuration, so the former one is back."
NOT_PYTHON = "gunicorn_extra_config is not Python; look at the line that is named."


def derived(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What templates read besides the settings."""
    jobs = job_units(settings["gunicorn_jobs"], runs_first(settings, view))
    return {
        "allowed": allowed(settings, view),
        "given_certificates": given_certificates(settings),
        "jobs": jobs,
        "kept": kept_files(settings, view),
        "not_started": NOT_STARTED,
        "on_tcp": [] if binds_to_path(settings) else [{"unit": settings["gunicorn_name"]}],
        "processes": process_units(settings["gunicorn_processes"]),
        "sandbox_of_standby": unit_sandbox.standby(),
        "sandbox_of_trigger": unit_sandbox.trigger(),
        "sockets": " ".join(f"{each['socket']}.socket" for each in triggers(settings)),
        "triggers": triggers(settings),
        "trusted_proxies": trusted_proxies(settings, view),
        "validate": [is_python(settings["gunicorn_name"]), *schedules(jobs)],
    }


def kept_files(settings: Mapping[str, Any], view: View) -> dict[str, str]:
    """Where the files of all releases are that a URL may mean, by its path; none for an app without releases."""
    source = view.variables.get("app_source")
    entries = static_entries(view.variables.get("app_static"), source or {}) if has_releases(settings) else []
    return {
        str(entry["url"]): former
        for entry in (static_of(settings["gunicorn_name"], each) for each in entries)
        if (former := entry.get("former"))
    }


def given_certificates(settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """The files of the controller for TLS to the app, each with its name on the host; none without a certificate."""
    parts = ("certificate", "key") if settings["gunicorn_tls_certificate"] else ()
    return [{"name": part, "file": settings[f"gunicorn_tls_{part}"]} for part in parts]


def is_python(name: str) -> dict[str, Any]:
    """Whether the files are Python, by that of the system, which only parses: nothing of the app runs as root."""
    program = "import ast, sys; [ast.parse(open(path).read(), path) for path in sys.argv[1:]]"
    files = [f"{{stage}}/etc/{name}/{file}.py" for file in PROGRAMS]
    return {"command": ["/usr/bin/python3", "-c", program, *files], "hint": NOT_PYTHON}


def schedules(jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Whether systemd understands when each job is to run."""
    return [
        {
            "command": ["systemd-analyze", "calendar", job["schedule"]],
            "hint": f"Look at the schedule of {job['name']} in app_jobs.",
        }
        for job in jobs
    ]


def has_releases(settings: Mapping[str, Any]) -> bool:
    """Whether the app has releases, or one folder of its own."""
    return "%i" in settings["gunicorn_directory"]


def binds_to_path(settings: Mapping[str, Any]) -> bool:
    """Whether it listens on a Unix socket, over which clients have no address."""
    return bool(settings["gunicorn_bind"].startswith("unix:"))


def triggers(settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """The sockets that a release accepts from, each with the unit that keeps systemd from watching it.

    On TCP that is also one for root. No process or job has such a unit: theirs end in a number, or are no template.
    """
    name = settings["gunicorn_name"]
    kept = [(name, f"{name}-socket", "", "socket")]
    if not binds_to_path(settings):
        kept.append((f"{name}.local", f"{name}.local@", "socket", "local"))
    return [
        {"socket": socket, "trigger": file, "unit": f"{file}{instance}.service", "record": f"{record}.started"}
        for socket, file, instance, record in kept
    ]


def is_reached_from_outside(settings: Mapping[str, Any]) -> bool:
    """Whether other machines could connect."""
    where = endpoint(settings["gunicorn_bind"])
    return where is not None and not where.address.is_loopback


def load_balancers(settings: Mapping[str, Any], view: View) -> list[str]:
    """Where the load balancers of the inventory connect from."""
    if not is_reached_from_outside(settings):
        return []
    return addresses(view.groups, view.hostvars, view.host, "load_balancers")


def other_apps(settings: Mapping[str, Any], view: View) -> list[str]:
    """Where the other app servers connect from, to an app that clients do not ask."""
    if boolean(view.variables.get("app_public", True)) or not is_reached_from_outside(settings):
        return []
    return addresses(view.groups, view.hostvars, view.host, "app_servers")


def trusted_proxies(settings: Mapping[str, Any], view: View) -> list[str]:
    """Whose headers are believed.

    Over a Unix socket clients have no address, and its mode 0660 says who may connect. On TCP: this host, and the load
    balancers of the inventory.
    """
    given: list[str] = settings["gunicorn_trusted_proxies"]
    if given:
        return given
    return ["*"] if binds_to_path(settings) else ["127.0.0.1", "::1", *load_balancers(settings, view)]


def own_host(settings: Mapping[str, Any], view: View) -> list[str]:
    """This host as systemd writes it, by its address too, where something on it is to connect; else none.

    That is a load balancer, whoever uses a loopback address or an inventory without load balancers, and the other apps
    of the host where clients do not ask this one.
    """
    elsewhere = bool(view.groups.get("load_balancers")) and is_reached_from_outside(settings)
    public = boolean(view.variables.get("app_public", True))
    if elsewhere and public and not runs_here(view.groups, view.hostvars, view.host, "load_balancers"):
        return []
    where = endpoint(settings["gunicorn_bind"])
    return ["localhost", *([str(where.address)] if where is not None and not where.address.is_unspecified else [])]


def allowed(settings: Mapping[str, Any], view: View) -> list[str]:
    """Who gets through to a TCP address, as systemd writes it: those it serves, and nobody else of its own host.

    Root asks the app over `/run/NAME/local.sock`.
    """
    given: list[str] = settings["gunicorn_trusted_proxies"]
    proxies = ["any" if each == "*" else each for each in given] or load_balancers(settings, view)
    others = [*other_apps(settings, view), *settings["gunicorn_allowed_addresses"]]
    return list(dict.fromkeys([*own_host(settings, view), *proxies, *others]))


def runs_first(settings: Mapping[str, Any], view: View) -> bool:
    """Whether this is the server that has the jobs of which one server is enough: the app's first in the inventory."""
    servers = servers_of(view.groups.get("app_servers", []), settings["gunicorn_name"], view.hostvars)
    return not servers or servers[0] == view.host


def nginx_idle(view: View) -> int:
    """Seconds for which an Nginx keeps an idle connection to the app, on whichever load balancer longest."""
    balancers = view.groups.get("load_balancers", [])
    times = [view.hostvars[host].get("nginx_upstream_keepalive_timeout", NGINX_IDLE) for host in balancers]
    return max((number(each, 0, 10**9) or 0 for each in times), default=ANY_NGINX_IDLE)
