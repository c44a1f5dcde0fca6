# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts a play is for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hosts_of
short_description: Say which hosts groups of the inventory have
description:
  - For C(hosts) of a play, where a group that the inventory has not would be a warning.
  - >-
    Ansible looks for the filters of a collection in each process that it starts for a task and a host, for 0.1 s. It
    does not where it knew them when it started the process, because the C(hosts) of a play had asked for one.
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: group
options:
  _input:
    description: The groups of the inventory, with their hosts.
    type: dict
    required: true
  group:
    description: The group; further groups follow it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Configure Redis
  hosts: "{{ groups | production.fastapi.hosts_of('redis_servers') }}"
  roles: [production.fastapi.redis]
"""

RETURN = r"""
_value:
  description: Their hosts, each once. A group that the inventory does not have adds none.
  type: list
  elements: str
  sample: [redis1]
"""

from collections.abc import Callable
from typing import Any

# Made before Ansible forks, so that all tasks of the run have the same key.
from ansible_collections.production.fastapi.plugins.plugin_utils import inventory, packed_modules, run_key  # noqa: F401  # pylint: disable=unused-import


def hosts_of(groups: inventory.Groups, *names: str) -> list[str]:
    """The hosts of these groups, each once; before the first play Ansible gets our modules as they were packed."""
    packed_modules.reuse()
    return inventory.hosts_of(groups, *names)


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"hosts_of": hosts_of}
