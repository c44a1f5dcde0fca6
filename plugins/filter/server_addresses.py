# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a load balancer reaches app servers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: server_addresses
short_description: Say at which addresses a load balancer reaches the servers of an app
description:
  - The address of each server as P(production.fastapi.sites#filter) gives it to Nginx on the load balancer.
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: app, hostvars, load_balancer
options:
  _input:
    description: The servers.
    type: list
    elements: str
    required: true
  app:
    description: The app.
    type: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  load_balancer:
    description: The load balancer.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show where app1 is
  ansible.builtin.debug:
    msg: "{{ ['app1'] | production.fastapi.server_addresses('shop', hostvars, 'lb1') }}"
"""

RETURN = r"""
_value:
  description: The address of each server.
  type: dict
  sample: {app1: "10.0.0.5:8000"}
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import server_addresses


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"server_addresses": server_addresses}
