# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of the first servers with a new release."""

from __future__ import annotations

DOCUMENTATION = r"""
name: canary
short_description: Compare the first servers with a new release with those that have the old one
description:
  - An answer with a status of 500 or above is an error. The time is that until the header of an answer came, its 95th
    percentile (p95) by nearest rank, of the answers without error.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: canaries, releases
options:
  _input:
    description: What M(production.fastapi.traffic) returned as C(answers) on each load balancer.
    type: list
    elements: list
    required: true
  canaries:
    description: The servers that have the new release; all others have the old one.
    type: list
    elements: str
    required: true
  releases:
    description: The names of the new release; what a canary answered with another one does not count.
    type: list
    elements: str
    required: true
  max_errors:
    description: Errors in a hundred requests that the canary may have above those of the others.
    type: float
    required: true
  max_slowdown:
    description: How many times the p95 of the others that of the canary may be; less than 10 ms more is never too much.
    type: float
    required: true
  min_requests:
    description: Requests that each side has to have, of clients, or else of clients and the probe.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Say how the canary does
  ansible.builtin.debug:
    msg: >-
      {{ traffic.results | map(attribute='answers')
         | production.fastapi.canary(['app1'], ['4f2a9c01-8b1c2d3e'], max_errors=1, max_slowdown=2, min_requests=100) }}
"""

RETURN = r"""
_value:
  description:
    - C(problem), a sentence, empty when the canary does well, and C(summary), the figures in words.
    - C(judged_by), C(canaries), and of C(canary) and C(others) the C(requests), C(errors) and C(p95_ms).
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.canary import judge
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import server_addresses, servers_of


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"canary": judge, "server_addresses": server_addresses, "servers_of": servers_of}
