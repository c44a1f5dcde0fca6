# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an app finds the Redis of its inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: redis_url
short_description: Derive from the inventory where an app finds its Redis
description:
  - The Redis on the app's own machine (as P(production.fastapi.sites#filter) tells machines apart), else the only one
    of the group C(redis_servers).
  - By its Unix socket, or by the address in C(redis_bind) with C(redis_password), so the result is a secret.
version_added: "0.1.0"
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
        C(redis_bind), C(redis_password).
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
  description: The URL as the Python client redis-py takes it; empty when the inventory has no Redis.
  type: str
  sample: unix:///run/redis/redis-server.sock
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.filter.sites import is_remote, machine

GROUP = "redis_servers"
SOCKET_URL = "unix:///run/redis/redis-server.sock"


def redis_url(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any], app_server: str) -> str:
    """The URL of the Redis that belongs to an app server, empty when the group redis_servers is.

    Raises AnsibleFilterError when there are several to choose from, or the app server cannot reach the one there is.
    """
    servers = groups.get(GROUP) or []
    if not servers:
        return ""
    here = machine(app_server, hostvars)
    near = [server for server in servers if machine(server, hostvars) == here]
    if len(near or servers) > 1:
        raise AnsibleFilterError(
            f"{app_server} has to choose between the Redis of {', '.join(near or servers)}; "
            f"keep one of them in the group {GROUP}."
        )
    (server,) = near or servers
    bind = str(hostvars[server].get("redis_bind") or "")
    if not near and not is_remote(bind.rpartition(":")[0]):
        raise AnsibleFilterError(
            f"{app_server} cannot reach the Redis of {server} at {bind or 'its Unix socket'}; set redis_bind of "
            f"{server} to its private address and port, such as 10.0.0.5:6379."
        )
    if not bind:
        return SOCKET_URL
    password = quote(str(hostvars[server].get("redis_password") or ""), safe="")
    return f"redis://:{password}@{bind}/0"


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"redis_url": redis_url}
