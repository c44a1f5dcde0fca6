# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which apps are on the servers and not in the inventory, and whether an app can be removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import name as valid_name
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import machine
from ansible_collections.production.fastapi.plugins.plugin_utils.parameters import resembles

PACKAGES = ("certbot", "keepalived", "nginx", "prometheus-nginx-exporter", "redis-server")

Groups = Mapping[str, Sequence[str]]
Hosts = Mapping[str, Any]


def machines(hosts: Iterable[str], hostvars: Hosts) -> dict[tuple[str, str], list[str]]:
    """The machines of these hosts, each with the names that it has in the inventory."""
    found: dict[tuple[str, str], list[str]] = {}
    for host in hosts:
        found.setdefault(machine(host, hostvars), []).append(host)
    return found


def apps_of(groups: Groups, hostvars: Hosts) -> dict[tuple[str, str], set[str]]:
    """The apps that the inventory has for each machine."""
    members = machines(groups.get("app_servers", ()), hostvars)
    return {each: {str(hostvars[host].get("app_name", "app")) for host in hosts} for each, hosts in members.items()}


def strangers(
    groups: Groups,
    hostvars: Hosts,
    installed: Mapping[str, Mapping[str, str]],
    served: Mapping[str, Mapping[str, str]],
    inventories: Mapping[str, str],
) -> list[str]:
    """A sentence for each app or site that is on a server and not in the inventory for it.

    `installed` and `served` have the apps and the sites of each host, with the inventory that each came from;
    `inventories` what the inventory of each host is called.
    """
    wanted = apps_of(groups, hostvars)
    sentences = []
    for each, names in machines(installed, hostvars).items():
        host, ours = names[0], wanted.get(each, set())
        apps, sites = installed[host], served.get(host, {})
        foreign = {
            name: source
            for name, source in sorted({**sites, **apps}.items())
            if source not in ("", inventories[host]) and name not in ours
        }
        for name, source in foreign.items():
            what = "app" if name in apps else "site"
            sentences.append(f"{host} has the {what} {name} of the inventory {source}, which is left alone.")
        for app in sorted(set(apps) - ours - set(foreign)):
            sentences.append(
                f"{host} still has the app {app}, which is not in the inventory for it any more: "
                f"`remove -e app={app}` takes it away, and what is in the inventory stays."
            )
    return sentences


def removal_problems(groups: Groups, hostvars: Hosts, given: Mapping[str, Any]) -> Iterator[str]:
    """Why the playbook `remove` cannot do what it was given: `app`, `everything`, `data`, `packages`.

    The hosts have been read: their `__fastapi_host` is what `host_info` returns.
    """
    app, everything = given["app"], given["everything"]
    if bool(app) == everything:
        yield "Write -e app=NAME for one app, or -e everything=true for all that the collection has made."
        return
    if unknown := sorted(set(given["packages"]) - set(PACKAGES)):
        yield f"packages has {', '.join(unknown)}; write some of {', '.join(PACKAGES)}, with commas between them."
    if given["packages"] and not everything:
        yield "packages is for -e everything=true, because other apps may need them."
    if not app:
        yield from foreign_problems(hostvars)
        return
    if valid_name(app) is None:
        yield f'app is "{app}", which is not a name of an app; {there_are(hostvars)}.'
        return
    yield from foreign_problems(hostvars, {app})
    near = sorted(name for name in installed_anywhere(hostvars) if resembles(app, name))
    in_inventory = {name for names in apps_of(groups, hostvars).values() for name in names}
    if near and app not in in_inventory and app not in traces(hostvars):
        yield f'app is "{app}", and no server of this inventory has it; {there_are(hostvars)}.'


def foreign_problems(hostvars: Hosts, names: Iterable[str] = ()) -> Iterator[str]:
    """Why apps and sites of another inventory cannot be removed: all of them, or those of these names."""
    told = set()
    for host in hostvars:
        seen = hostvars[host].get("__fastapi_host") or {}
        sites = {name: site.get("inventory", "") for name, site in seen.get("sites", {}).items()}
        for name, source in sorted({**sites, **seen.get("apps", {})}.items()):
            if source in ("", seen.get("inventory", source)) or (names and name not in names) or name in told:
                continue
            told.add(name)
            yield (
                f"{name} on {host} came from the inventory {source}; remove it with that one, or with "
                f"-e app={name} -e fastapi_inventory={source}."
            )


def installed_anywhere(hostvars: Hosts) -> dict[str, list[str]]:
    """The apps on all hosts that were read, each with its hosts, a machine once."""
    read = [host for host in hostvars if "packages" in (hostvars[host].get("__fastapi_host") or {})]
    found: dict[str, list[str]] = {}
    for names in machines(read, hostvars).values():
        for app in hostvars[names[0]]["__fastapi_host"].get("apps", {}):
            found.setdefault(app, []).append(names[0])
    return dict(sorted(found.items()))


def traces(hostvars: Hosts) -> set[str]:
    """The names of which there is something on a host: an app, its site, its data, or the account of a first build."""
    found: set[str] = set()
    for host in hostvars:
        seen = hostvars[host].get("__fastapi_host") or {}
        found |= {*seen.get("apps", {}), *seen.get("sites", {}), *seen.get("left", {})}
        found |= {user.removesuffix("_") for user in seen.get("users", ()) if user.endswith("_")}
    return found


def there_are(hostvars: Hosts) -> str:
    """The apps on the servers, in words."""
    listed = [f"{app} ({', '.join(hosts)})" for app, hosts in installed_anywhere(hostvars).items()]
    return f"there are {', '.join(listed)}" if listed else "there is no app on them"


def removed(hostvars: Hosts, host: str, result: Mapping[str, Any], check: bool) -> list[str]:
    """What the module `removal` has done, for a person."""
    if "gone" not in result:
        return []
    lines = [f"{'would go' if check else 'gone'}: {phrase}" for phrase in result["gone"]]
    lines += [f"stays: {phrase}" for phrase in result["stays"]]
    return lines or [f"nothing of it is on {host}; {there_are(hostvars)}"]


def first_of_machines(hosts: Iterable[str], hostvars: Hosts) -> list[str]:
    """One host for each machine: several entries of the inventory may be the same one."""
    return [names[0] for names in machines(hosts, hostvars).values()]


def package_names(packages: Any) -> list[str]:
    """The names in a text with commas between them, or in a list."""
    return [name.strip() for name in (packages.split(",") if isinstance(packages, str) else packages) if name.strip()]


def left_apps(groups: Groups, hostvars: Hosts, hosts: Sequence[str]) -> list[str]:
    """A sentence for each app on these hosts, as `host_info` has read them, that the inventory does not have."""
    known = {host: hostvars[host].get("__fastapi_host") or {} for host in hosts}
    read = {host: seen for host, seen in known.items() if "packages" in seen}
    installed = {host: seen.get("apps", {}) for host, seen in read.items()}
    # Only status tells of sites, because another inventory's are no business of a run.
    return strangers(groups, hostvars, installed, {}, {host: seen.get("inventory", "") for host, seen in read.items()})
