# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the playbook `doctor` makes of what it has seen."""

from __future__ import annotations

DOCUMENTATION = r"""
name: doctor
short_description: Say what stands in the way of a first run
description:
  - Looks at the groups of the inventory, at what tasks have seen of each host, and at the names of the apps in DNS.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, variable
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  variable:
    description:
      - Name of the variable in which each host of this run has the results of the tasks C(connected) and C(root), and
        the sentences of all checks as C(preflight).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ (groups | production.fastapi.doctor(hostvars, '__doctor')).problems }}"
"""

RETURN = r"""
_value:
  description: The list C(problems), of sentences, and C(lines), all that there is to say.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.doctor import examination


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"doctor": examination}
