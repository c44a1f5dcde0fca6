# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which servers change together in a rolling deploy."""

from __future__ import annotations

DOCUMENTATION = r"""
name: batches
short_description: Divide servers into batches
description:
  - The first size is that of the first batch, and so on; the last size holds for all that remain.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: sizes
options:
  _input:
    description: The servers, in their order.
    type: list
    elements: str
    required: true
  sizes:
    description: Numbers of servers, or shares of all of them such as C(50%), which are rounded up.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show who changes together
  ansible.builtin.debug:
    msg: "{{ groups.app_servers | production.fastapi.batches([1, '50%']) }}"
"""

RETURN = r"""
_value:
  description: The batches.
  type: list
  elements: list
  sample: [[app1], [app2, app3]]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.deploy_plan import batches


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"batches": batches}
