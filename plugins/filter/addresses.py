# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the hosts of an inventory reach each other."""

from __future__ import annotations

DOCUMENTATION = r"""
name: addresses
short_description: Say where the other machines of a group are reached
description:
  - The C(private_address) of each host of a group, else its C(ansible_host), else its name.
  - Without the hosts that are the asking machine itself, which speaks to itself over loopback.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, host, group
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  host:
    description: Inventory name of the host that asks.
    type: str
    required: true
  group:
    description: Name of the group whose hosts are meant.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show where the load balancers come from
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.addresses(hostvars, inventory_hostname, 'load_balancers') }}"
"""

RETURN = r"""
_value:
  description: The addresses, each once, in the order of the inventory; a name where the inventory has no address.
  type: list
  elements: str
  sample: [10.0.0.2, 10.0.0.3]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import addresses


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"addresses": addresses}
