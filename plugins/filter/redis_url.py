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

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.filter.sites import is_remote, machine

GROUP = "redis_servers"
SENTINEL_PORT = 26379
USER_PREFIX = "app-"  # Redis has users of its own, such as `default`
SOCKET_URL = "unix:///run/redis/redis-server.sock"


def redis_url(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any], app_server: str) -> str:
    """The URL of the Redis that belongs to an app server, empty when the group redis_servers is.

    Raises AnsibleFilterError when there are several to choose from, or the app server cannot reach the one there is.
    """
    servers = redis_servers_of(groups, hostvars, app_server)
    if not servers:
        return ""
    binds = [bind_of(server, hostvars) for server in servers]
    if len(servers) > 1:
        for server, bind in zip(servers, binds, strict=True):
            must_reach(app_server, server, bind)
        sentinels = ",".join(f"{bind.rpartition(':')[0]}:{SENTINEL_PORT}" for bind in binds)
        return f"redis+sentinel://{user_of(app_server, servers[0], hostvars)}@{sentinels}/primary/0"
    (server,), (bind,) = servers, binds
    if machine(server, hostvars) != machine(app_server, hostvars):
        must_reach(app_server, server, bind)
    user = user_of(app_server, server, hostvars)
    if bind:
        return f"redis://{user}@{bind}/0"
    return SOCKET_URL.replace("://", f"://{user}@") if user else SOCKET_URL


def redis_servers_of(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any], app_server: str) -> list[str]:
    """The members of redis_servers that an app server uses: none, one, or all of a group with Sentinel.

    Raises AnsibleFilterError when there are several to choose from.
    """
    servers = groups.get(GROUP) or []
    if not servers:
        return []
    here = machine(app_server, hostvars)
    near = [server for server in servers if machine(server, hostvars) == here]
    members = redis_group(groups, hostvars)
    if len(members) > 2 and all(bind_of(server, hostvars) for server in near):
        return members
    if len(near or servers) > 1:
        raise AnsibleFilterError(
            f"{app_server} has to choose between the Redis of {', '.join(near or servers)}; "
            f"keep one of them in the group {GROUP}."
        )
    return list(near or servers)


def user_of(app_server: str, server: str, hostvars: Mapping[str, Any]) -> str:
    """User and password as URLs have them: the app's own with app_redis_keys, else those of all; empty for none."""
    app = hostvars[app_server]
    if app.get("app_redis_keys"):
        return f"{USER_PREFIX}{app.get('app_name') or ''}:{quote(str(app.get('app_redis_password') or ''), safe='')}"
    return f":{password_of(server, hostvars)}" if bind_of(server, hostvars) else ""


def redis_group(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any]) -> list[str]:
    """The hosts of redis_servers that have an address, each machine once, in the order of the inventory.

    Three or more are one group, of which Sentinel chooses the primary.
    """
    members: dict[tuple[str, str], str] = {}
    for server in groups.get(GROUP) or []:
        if server in hostvars and bind_of(server, hostvars):
            members.setdefault(machine(server, hostvars), server)
    return list(members.values())


def bind_of(server: str, hostvars: Mapping[str, Any]) -> str:
    """Address and port of a Redis, empty where it has a Unix socket."""
    return str(hostvars[server].get("redis_bind") or "")


def password_of(server: str, hostvars: Mapping[str, Any]) -> str:
    """The password of a Redis as URLs have it."""
    return quote(str(hostvars[server].get("redis_password") or ""), safe="")


def must_reach(app_server: str, server: str, bind: str) -> None:
    """Raise AnsibleFilterError when the Redis of a server has no address that other machines reach."""
    if not is_remote(bind.rpartition(":")[0]):
        raise AnsibleFilterError(
            f"{app_server} cannot reach the Redis of {server} at {bind or 'its Unix socket'}; set redis_bind of "
            f"{server} to its private address and port, such as 10.0.0.5:6379."
        )


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "redis_url": redis_url,
            "redis_group": redis_group,
        }
