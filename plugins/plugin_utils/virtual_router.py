# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which load balancers share a virtual address, and over which interfaces."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils import unit_sandbox
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import (
    Groups,
    Hosts,
    machine,
    private_address,
)

GROUP = "load_balancers"
ROUTER_ID = 51
# In version 2.2, of Debian 12, the test ends itself with SIGTERM whatever it found, and speaks only of a bad one.
TEST = (
    "said=$(keepalived --config-test --use-file {stage}/etc/keepalived/keepalived.conf 2>&1); code=$?; "
    'echo "$said"; test $code = 0 || test $code = 143 -a -z "$said"'
)
REFUSED = "keepalived refuses this configuration, so nothing was changed."
# Without a configuration, keepalived has nothing to do. One that was there before the role has come back.
APPLY = (
    "if test -s /etc/keepalived/keepalived.conf; then systemctl reload-or-restart keepalived; "
    "else systemctl disable --quiet --now keepalived; fi"
)
NOT_RUNNING = "`journalctl -u keepalived` says why it does not run."
# Of the first in the inventory; 255 would mean that the address is its own.
HIGHEST = 200


def derived(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """Interfaces, peers and priority, from the inventory and from the addresses of the host."""
    address = settings["keepalived_address"]
    apply = [
        {"command": "systemctl daemon-reload"},
        {"command": ["sh", "-c", APPLY], "hint": NOT_RUNNING},
    ]
    if not address:
        return {"apply": apply, "validate": [], "verify": []}
    router = virtual_router(view.groups, view.hostvars, view.host, address, view.facts.get("addresses", {}))
    return {
        **router,
        "sandbox": unit_sandbox.keepalived(),
        "apply": apply,
        "validate": [{"command": ["sh", "-c", TEST], "requires": ["/usr/sbin/keepalived"], "hint": REFUSED}],
        "verify": [{"command": "systemctl is-active --quiet keepalived", "hint": NOT_RUNNING}],
        "missing": [] if "keepalived" in view.facts.get("packages", {}) else ["keepalived"],
        "would_install": "apt would install keepalived",
    }


def virtual_router(
    groups: Groups,
    hostvars: Hosts,
    host: str,
    address: str,
    addresses: Mapping[str, str],
) -> dict[str, Any]:
    """What keepalived of one load balancer needs to know, or the `problems` that keep it from that."""
    try:
        wanted = ipaddress.IPv4Address(address)
    except ValueError:
        sentence = (
            f'keepalived_address is "{address}"; write an IPv4 address without prefix length, such as 10.0.0.100.'
        )
        return {"problems": [sentence]}
    balancers = list(groups.get(GROUP) or [])
    sharing = {
        machine(name, hostvars): name for name in reversed(balancers) if virtual_address(name, hostvars) == address
    }
    members = [name for name in balancers if name in sharing.values()]
    source = private_address(host, hostvars)
    # The virtual address itself says nothing: it is there when this host holds it.
    own = {ipaddress.IPv4Interface(text): name for text, name in addresses.items()}
    networks = [(at, name) for at, name in own.items() if at.ip != wanted and wanted in at.network]
    sources = [name for at, name in own.items() if str(at.ip) == source]
    problems = list(problems_of_address(wanted, own, groups, hostvars))
    problems += problems_of_members(host, address, balancers, members, hostvars)
    if not networks and not problems:
        known = ", ".join(f"{at} on {name}" for at, name in own.items() if not at.is_loopback)
        problems.append(
            f"keepalived_address is {address}, which is in the network of no interface of {host} (it has "
            f"{known or 'none'}); write a free address of one of these networks."
        )
    if not sources and not problems:
        problems.append(
            f"{host} has no address {source}; set private_address of {host} to the IPv4 address by which the other "
            "load balancers reach it."
        )
    if problems:
        return {"problems": problems}
    return {
        "problems": [],
        "interface": max(networks, key=lambda one: one[0].network.prefixlen)[1],
        "source": source,
        "source_interface": sources[0],
        "peers": [private_address(name, hostvars) for name in members if name != host],
        "priority": max(1, HIGHEST - members.index(host)),
    }


def virtual_address(host: str, hostvars: Hosts) -> str:
    """The virtual address of a load balancer; empty for none."""
    return str(hostvars[host].get("keepalived_address") or "")


def problems_of_address(
    wanted: ipaddress.IPv4Address,
    own: Mapping[ipaddress.IPv4Interface, str],
    groups: Groups,
    hostvars: Hosts,
) -> Iterator[str]:
    """Why the address is not free, or could not be."""
    users = [name for name in groups.get("all") or hostvars if str(wanted) in addresses_of(name, hostvars)]
    for name in users[:1]:
        yield f"keepalived_address is {wanted}, which {name} has for itself; write an address that no host has."
    for at in own:
        fixed = at.network.prefixlen < 31 and wanted in (at.network.network_address, at.network.broadcast_address)
        if fixed and not users:
            yield f"keepalived_address is {wanted}, which no host of {at.network} can have; write a free address of it."


def addresses_of(host: str, hostvars: Hosts) -> set[str]:
    """Where the inventory reaches a host."""
    return {private_address(host, hostvars), str(hostvars[host].get("ansible_host", host))}


def problems_of_members(
    host: str, address: str, balancers: Sequence[str], members: Sequence[str], hostvars: Hosts
) -> Iterator[str]:
    """What is wrong with those that share the address."""
    if host not in members:
        yield (
            f"keepalived_address is {address}, but {host} is not a member of the group {GROUP} that has it, or the "
            f"same machine as another one; write it in the variables of the group {GROUP}, and each machine once."
        )
    elif len(members) < 2:
        yield (
            f"keepalived_address is {address} on {host} alone; write it in the variables of the group {GROUP}, with "
            "two load balancers or more, or leave it out."
        )
    router_id = hostvars[host].get("keepalived_router_id", ROUTER_ID)
    for name in balancers:
        other = virtual_address(name, hostvars)
        theirs = hostvars[name].get("keepalived_router_id", ROUTER_ID)
        if name in members and str(theirs) != str(router_id):
            yield (
                f"keepalived_router_id is {router_id} on {host} and {theirs} on {name}, which share {address}; "
                f"write it in the variables of the group {GROUP}."
            )
        elif other and other != address and str(theirs) == str(router_id):
            yield (
                f"keepalived_router_id is {router_id} for {address} and for {other} of {name}; write another number "
                "for one of them."
            )
    for name in members:
        try:
            ipaddress.IPv4Address(private_address(name, hostvars))
        except ValueError:
            yield (
                f"{name} is reached by {private_address(name, hostvars)}, which is not an IPv4 address; set "
                f"private_address of {name} to the one by which the other load balancers reach it."
            )
