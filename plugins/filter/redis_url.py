# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an app finds the Redis of its inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: redis_url
short_description: Derive from the inventory where an app finds its Redis
description:
  - The Redis on the app's own machine (as P(production.fastapi.sites#filter) tells machines apart), else the only one
    of the group C(redis_servers). Where three or more of that group have an address, their Sentinels.
  - By its Unix socket, or by the address in C(redis_bind) with C(redis_password), so the result is a secret. An app
    with C(app_redis_keys) has its user C(app-NAME) and C(app_redis_password) in it instead.
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, app_server
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description:
      - The variables of all hosts. Of the members of C(redis_servers) these are read -
        C(redis_bind), C(redis_password); of the app server C(app_name), C(app_redis_keys), C(app_redis_password).
    type: dict
    required: true
  app_server:
    description: Inventory name of the app server.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Tell an app where its Redis is
  ansible.builtin.set_fact:
    app_environment: {REDIS_URL: "{{ groups | production.fastapi.redis_url(hostvars, inventory_hostname) }}"}
  no_log: true
"""

RETURN = r"""
_value:
  description: The URL as the Python client redis-py takes it, for a
    group C(redis+sentinel://:PASSWORD@HOST:26379,…/primary/0); empty when the inventory has no Redis.
  type: str
  sample: unix:///run/redis/redis-server.sock
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.redis import redis_url


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"redis_url": redis_url}
