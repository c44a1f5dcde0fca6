# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the playbook `status` makes of what the servers have told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import server_of
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory_name import inventory_name
from ansible_collections.production.fastapi.plugins.plugin_utils.leaving import strangers
from ansible_collections.production.fastapi.plugins.plugin_utils.status import (
    GROUPS,
    Report,
    is_good,
    report_of,
    table_of,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.status_page import page_of
from ansible_collections.production.fastapi.plugins.plugin_utils.upstream import server_address

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


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "status_members": status_members,
            "status_page": page_of,
            "status_report": status_report,
            "status_table": table_of,
        }
