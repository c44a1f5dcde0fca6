# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which app servers get no new requests for the time being."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drained
short_description: Name the app servers that are drained
description:
  - A server is drained when one of the load balancers that were read has it so, which a new one then agrees with.
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description: All variables of all hosts, with what P(production.fastapi.host_info#module) has read.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who is drained
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.drained(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The inventory names.
  type: list
  elements: str
  sample: [app2]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import drained


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"drained": drained}
