# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the names that an app needs on a host are free: its users and groups, its units, and its folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.background import process_units
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.background import background_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import name as valid_name

SYSTEM = frozenset(
    {
        # Accounts that each Debian has, or that a package makes that many hosts have.
        *("root", "daemon", "bin", "sys", "nobody", "www-data", "backup", "sshd", "postgres", "ubuntu"),
        # Units that systemd has without a file, and folders of /run that are there once it runs.
        *(
            "init",
            "system",
            "user",
            "machine",
            "session",
            "lock",
            "log",
            "mount",
            "shm",
            "systemd",
            "udev",
            "credentials",
        ),
        # What the packages that the roles install bring: users, groups, units, folders.
        *("nginx", "redis", "redis-server", "redis-sentinel", "keepalived", "certbot", "letsencrypt", "logrotate"),
        *("prometheus", "prometheus-nginx-exporter", "ssl", "bind", "named", "named-resolvconf", "adduser"),
        *("ethertypes", "libnl-3", "network", "networks", "perl", "ppp", "protocols", "rpc", "services", "snmp"),
        # What the roles themselves have beside the apps.
        *("site-certificates", "drained", "maintenance"),
    }
)
# The units of an app are NAME.*, NAME@.*, and those of its socket and its stand-in.
BESIDE = ("", "-socket", "-standby")
LONGEST = 31


def is_ours(name: str, host: Mapping[str, Any]) -> bool:
    """Whether a host has this app already: its configuration, or after a first run that did not get there, its builder.

    That user, whose name ends in `_`, is the first thing that is made of an app. Its data is what `remove` leaves.
    """
    known = f"gunicorn-{name}" in host.get("managed", {}) or f"{name}_" in host.get("users", ())
    return known or name in host.get("left", {})


def app_name_problems(host: Mapping[str, Any], name: Any, variable: str = "app_name") -> Iterator[str]:
    """Why an app cannot have this name on a host that `host_info` has read, with an account of its own."""
    if valid_name(name) is None:
        return  # others say what a name is
    if name in SYSTEM:
        yield f"{variable}: {name} is a name of the system; use another, such as {other(name)}."
    elif not is_ours(name, host):
        accounts = (f"the {kind} {name}" for kind in ("user", "group") if name in host.get(f"{kind}s", ()))
        yield from taken(variable, name, [*accounts, *units_and_folders(host, name, ("/etc", "/run", "/srv"))])


def service_name_problems(host: Mapping[str, Any], name: Any, variable: str = "gunicorn_name") -> Iterator[str]:
    """The same of an app that is on the host already: its account and its code are its own."""
    if valid_name(name) is None:
        return
    if name in SYSTEM:
        yield f"{variable}: {name} is a name of the system; use another, such as {other(name)}."
    elif not is_ours(name, host):
        yield from taken(variable, name, units_and_folders(host, name, ("/etc",)))


def units_and_folders(host: Mapping[str, Any], name: str, folders: Iterable[str]) -> Iterator[str]:
    """What there is on the host under this name, beside accounts."""
    stems = {f"{name}{ending}" for ending in BESIDE}
    yield from (f"the unit {unit}" for unit in host.get("units", ()) if unit.split(".")[0].split("@")[0] in stems)
    there = host.get("folders", {})
    yield from (f"{folder}/{name}" for folder in folders if name in there.get(folder, ()))


def taken(variable: str, name: str, what: Iterable[str]) -> Iterator[str]:
    """The sentence, if there is something under the name."""
    if listed := listing(list(what)):
        yield (
            f"{variable}: {name} is taken on this host by {listed}, which this collection has not made; use another, "
            f"such as {other(name)}."
        )


def other(name: str) -> str:
    """A name that is likely to be free."""
    return f"{name[: LONGEST - len('-app')].rstrip('-')}-app"


def listing(things: list[str], most: int = 4) -> str:
    """A few of them in words."""
    shown = things if len(things) <= most else [*things[:most], f"{len(things) - most} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def background_name_problems(host: Mapping[str, Any], name: Any, processes: Any, jobs: Any) -> Iterator[str]:
    """The processes and jobs of an app whose units somebody else has made.

    While the app itself is not on the host, the check of its name has seen them.
    """
    if not is_ours(str(name), host) or background_problems(processes, jobs):
        return
    foreign = set(host.get("units", ())) - set(host.get("managed", {}).get(f"gunicorn-{name}", ()))
    wanted = [
        ("app_processes", each["name"], f"{name}.{process['unit']}@.service")
        for each in processes
        for process in process_units([each])
    ]
    wanted += [
        ("app_jobs", each["name"], f"{name}.{each['name']}.{kind}") for each in jobs for kind in ("service", "timer")
    ]
    for variable, entry, unit in wanted:
        if unit in foreign:
            yield (
                f"{variable}: {entry} is taken on this host by the unit {unit}, which this collection has not made; "
                "use another name, or remove the unit."
            )
