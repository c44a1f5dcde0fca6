# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Nginx spreads the requests of a site over its servers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: upstream
short_description: Say how Nginx spreads the requests of a site
description:
  - The directives of Nginx's upstream block for a site, without the semicolons.
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
- name: Show how the first site is balanced
  ansible.builtin.debug:
    msg: "{{ nginx_sites | first | production.fastapi.upstream }}"
"""

RETURN = r"""
_value:
  description: The directives, in the order that Nginx needs.
  type: list
  elements: str
  sample: [zone fastapi_shop 128k, least_conn, server 10.0.0.5:8000 weight=3 max_fails=3 fail_timeout=5s]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.upstream import upstream


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"upstream": upstream}
