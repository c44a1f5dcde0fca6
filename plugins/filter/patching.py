# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order machines are upgraded, and who does without which of them meanwhile."""

from __future__ import annotations

DOCUMENTATION = r"""
name: patch_plan
short_description: Say in which order machines are upgraded
description:
  - Machines rather than names, because two apps on one server are two names. Those with a load balancer come last, so
    that the way in changes only when all behind it have proved themselves.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, only
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description: All variables of all hosts, with what P(production.fastapi.host_info#module) has read, and as
      C(__patch_before) what P(production.fastapi.server_state#module) has.
    type: dict
    required: true
  only:
    description: Inventory names, with commas between them, of which the machines are upgraded; empty for all.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Show the order
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.patch_plan(hostvars) }}"
"""

RETURN = r"""
_value:
  description:
    - For each machine C(host), the name by which it is upgraded, C(servers) and C(balancers), its names in these
      groups, C(drains), its servers that serve and whose app another machine goes on with, and C(resumes), those of
      them that an upgrade which was killed has left drained.
  type: list
  elements: dict
  sample: [{host: app1, servers: [app1], balancers: [], drains: [app1], resumes: []}]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.patching import (
    patch_plan,
    patch_problems,
    patch_questions,
)


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"patch_plan": patch_plan, "patch_problems": patch_problems, "patch_questions": patch_questions}
