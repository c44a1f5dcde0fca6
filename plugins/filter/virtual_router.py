# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which load balancers share a virtual address, and over which interfaces."""

from __future__ import annotations

DOCUMENTATION = r"""
name: virtual_router
short_description: Derive from the inventory how load balancers share a virtual address
description:
  - The load balancers with the same C(keepalived_address) share it. They reach each other by C(private_address), else
    C(ansible_host), and the earlier one in the inventory has the higher priority.
  - The virtual address belongs on the interface that has an address of the same network.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, host, address, addresses
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description:
      - The variables of all hosts. Of the members of C(load_balancers) these are read -
        C(keepalived_address), C(keepalived_router_id).
    type: dict
    required: true
  host:
    description: Inventory name of the load balancer.
    type: str
    required: true
  address:
    description: The virtual address.
    type: str
    required: true
  addresses:
    description:
      - The interface of each address of the host with its prefix length, as M(production.fastapi.host_info) has them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show over which interface the load balancers speak
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.virtual_router(hostvars, inventory_hostname, '10.0.0.100', own) }}"
  vars: {own: {10.0.0.10/24: eth0}}
"""

RETURN = r"""
_value:
  description:
    - C(problems), which are sentences; without any, C(interface) of the virtual address, C(source) and
      C(source_interface) for what the load balancers tell each other, C(peers) and C(priority).
  type: dict
  sample: {problems: [], interface: eth0, source: 10.0.0.10, source_interface: eth0, peers: [10.0.0.11], priority: 200}
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.virtual_router import virtual_router


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"virtual_router": virtual_router}
