# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The routes of a site with all that Nginx needs to know of them, and what is wrong with routes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: routes
short_description: Complete the routes of a site
description:
  - Each entry of C(routes) with the values that it leaves out, and each of its limits with a zone of its own.
  - The route C(/) is there even when the site does not write it, because it is the rest of the site.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
options:
  _input:
    description: A site as the variable C(nginx_sites) of the role P(production.fastapi.nginx#role) has it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the routes of a site
  ansible.builtin.debug:
    msg: "{{ nginx_sites[0] | production.fastapi.routes }}"
"""

RETURN = r"""
_value:
  description: The routes, each with all its values; C(retry_after) is in seconds.
  type: list
  elements: dict
  sample:
    - path: /login
      limits: [{key: address, variable: rate_limit_key, rate: 5r/m, burst: 5, delay: false, zone: shop/login@address}]
      body_size: ""
      stream: false
      read_timeout: 0
      cache: 0
      retry_after: 12
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.routes import limited_headers, routes


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"routes": routes, "limited_headers": limited_headers}
