# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The users of a Redis whose apps are kept apart."""

from __future__ import annotations

DOCUMENTATION = r"""
name: redis_users
short_description: List the users of a Redis whose apps have keys of their own
description:
  - The apps of C(app_servers) that use the Redis of a server and have C(app_redis_keys), each once.
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, server
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description:
      - The variables of all hosts. Of the app servers these are read - C(app_name), C(app_redis_keys),
        C(app_redis_password).
    type: dict
    required: true
  server:
    description: Inventory name of the member of C(redis_servers).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show which apps have keys of their own
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.redis_users(hostvars, inventory_hostname) | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description: User, pattern of the keys and SHA-256 of the password; empty when no app has keys of its own.
  type: list
  elements: dict
  sample:
    - name: app-shop
      pattern: "shop:*"
      sha256: 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.redis_users import access_rules


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"redis_users": access_rules}
