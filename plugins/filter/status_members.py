# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The members of the sites, for the module `server_state`."""

from __future__ import annotations

DOCUMENTATION = """
name: status_members
short_description: Say which members the sites of a load balancer have
description:
  - The addresses of the members of each site, for the module P(production.fastapi.server_state#module).
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
options:
  _input:
    description: Sites as the variable C(nginx_sites) has them.
    type: list
    required: true
    elements: dict
"""

EXAMPLES = """
- name: Ask the members of all sites
  production.fastapi.server_state:
    members: "{{ nginx_sites | production.fastapi.status_members }}"
"""

RETURN = """
_value:
  description: The addresses by the name of the site.
  type: dict
  sample: {shop: ["unix:/run/shop/http.sock"]}
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.status import status_members


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"status_members": status_members}
