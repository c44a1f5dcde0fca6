# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is where: the apps and machines of an inventory, and where they reach each other.

This is the one room for it: what a variable of another host means is asked here, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import bare_address

PATCH = "patch"

Groups = Mapping[str, Sequence[str]]
Hosts = Mapping[str, Any]


def hosts_of(groups: Groups, *names: str) -> list[str]:
    """The hosts of these groups, each once; none of a group that is not there."""
    return list(dict.fromkeys(host for name in names for host in groups.get(name, ())))


def app_of(host: str, hostvars: Hosts) -> str:
    """The app of an app server."""
    return str(hostvars[host].get("app_name", "app"))


def servers_of(servers: Sequence[str], app: str, hostvars: Hosts) -> list[str]:
    """Those servers that are of the app, whether they take part in the run or not."""
    return [server for server in servers if app_of(server, hostvars) == app]


def machine(host: str, hostvars: Hosts) -> tuple[str, str]:
    """What tells machines apart: two inventory names may be one machine, two ports of one address may be two."""
    variables = hostvars[host]
    if variables.get("ansible_connection") == "local":
        return "local", ""
    return str(variables.get("ansible_host", host)), str(variables.get("ansible_port", 22))


def private_address(host: str, hostvars: Hosts) -> str:
    """Where the other hosts of the inventory reach a host: its `private_address`, else where Ansible does."""
    variables = hostvars[host]
    return str(variables.get("private_address") or variables.get("ansible_host", host))


def addresses(groups: Groups, hostvars: Hosts, host: str, group: str) -> list[str]:
    """Where the machines of a group are reached by a host that is none of them."""
    members = groups.get(group) or []
    here = machine(host, hostvars) if members and host in hostvars else None
    others = [private_address(member, hostvars) for member in members if machine(member, hostvars) != here]
    return list(dict.fromkeys(others))


def runs_here(groups: Groups, hostvars: Hosts, host: str, group: str) -> bool:
    """Whether the machine of a host is one of a group, under this name or another."""
    here = machine(host, hostvars) if host in hostvars else None
    return any(machine(member, hostvars) == here for member in groups.get(group) or [])


def drained(groups: Groups, hostvars: Hosts) -> list[str]:
    """The inventory names of the drained servers, sorted."""
    return sorted({str(server) for entries in notes(groups, hostvars) for server in entries})


def notes(groups: Groups, hostvars: Hosts) -> list[Mapping[str, Any]]:
    """What each load balancer that was read has noted of the servers that it has drained."""
    hosts = [hostvars[balancer].get("__fastapi_host") for balancer in groups.get("load_balancers", [])]
    return [host.get("drained", {}) for host in hosts if isinstance(host, Mapping)]


def server_of(app: str, host: str, hostvars: Hosts, load_balancer: str) -> str:
    """The address of a member as Nginx writes it."""
    bind = str(hostvars[host].get("gunicorn_bind", "") or f"unix:/run/{app}/http.sock")
    address, _unused, port = bind.rpartition(":")
    is_port = address != "" and port.isdigit()
    if machine(load_balancer, hostvars) == machine(host, hostvars):
        return f"{loopback(address)}:{port}" if is_port and is_wildcard(address) else bind
    if is_port and is_wildcard(address):
        address = bracketed(private_address(host, hostvars))
    if not is_port or not is_remote(address):
        raise AnsibleFilterError(
            f"{load_balancer} cannot reach the app {app} on {host} at {bind}; set gunicorn_bind of {host} to the "
            "address and port at which the load balancer reaches it, such as 10.0.0.5:8000."
        )
    return f"{address}:{port}"


def server_addresses(servers: Sequence[str], app: str, hostvars: Hosts, load_balancer: str) -> dict[str, str]:
    """The address of each server of an app as Nginx of the load balancer writes it."""
    return {server: server_of(app, server, hostvars, load_balancer) for server in servers}


def bracketed(text: str) -> str:
    """An IPv6 address in brackets, anything else as it is."""
    return f"[{text}]" if ":" in text and not text.startswith("[") else text


def is_wildcard(text: str) -> bool:
    """Whether the address means every address of the host."""
    address = bare_address(text)
    return address is not None and address.is_unspecified


def is_remote(text: str) -> bool:
    """Whether another machine can reach the address."""
    address = bare_address(text)
    return address is not None and not address.is_unspecified and not address.is_loopback


def loopback(text: str) -> str:
    """The loopback address of the same family as a wildcard address."""
    return "[::1]" if ":" in text else "127.0.0.1"
