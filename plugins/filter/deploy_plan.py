# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the servers of a run deploy."""

from __future__ import annotations

DOCUMENTATION = r"""
name: deploy_plan
short_description: Say which servers deploy together, in which batches, and by which steps
description:
  - A run in which no server of an app gets another release has the steps C(build) and C(switch) alone, and one batch.
version_added: "0.2.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars
options:
  _input:
    description: The hosts of the play, in their order.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts, of which C(__deploy) is read.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | production.fastapi.deploy_plan(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The plan of each app, by its name. C(of) of a step names all steps of its list.
  type: dict
  sample:
    shop:
      servers: [app1, app2]
      new: true
      batches: [[app1, app2]]
      steps:
        - {name: begin, batch: 0, after: success, of: begin 0 build 0 switch 0 verify 0 back 0}
        - {name: build, batch: 0, after: success, of: begin 0 build 0 switch 0 verify 0 back 0}
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.deploy_plan import deploy_plan


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"deploy_plan": deploy_plan}
