# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an app finds the Redis of its inventory, and which hosts are a group of Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils import unit_sandbox
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import (
    Groups,
    Hosts,
    addresses,
    is_remote,
    machine,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.redis_service import appliers, verifiers

GROUP = "redis_servers"
SENTINEL_PORT = 26379
USER_PREFIX = "app-"  # Redis has users of its own, such as `default`
SOCKET_URL = "unix:///run/redis/redis-server.sock"


def derived(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What templates read besides the settings: the group of a member, and who gets through to its address.

    Three hosts or more with an address are one group, of which Sentinel chooses the primary; else it is empty.
    """
    members = redis_group(view.groups, view.hostvars)
    group = members if len(members) > 2 and view.host in members else []
    binds = [bind_of(member, view.hostvars) for member in group]
    others = addresses(view.groups, view.hostvars, view.host, GROUP) if group else []
    servers = addresses(view.groups, view.hostvars, view.host, "app_servers")
    own = address_in(settings["redis_bind"])
    allowed = ["localhost", own, *map(address_in, binds), *others, *servers]
    return {
        "group": group,
        "members": [f"{address_in(bind)} {bind.rpartition(':')[2]}" for bind in binds],
        "sentinels": [*(address for address in map(address_in, binds) if address != own), *([own] if group else [])],
        "apply": appliers(),
        "verify": verifiers(settings["redis_bind"]),
        "sandbox_of_sentinel": unit_sandbox.sentinel(),
        "missing": [] if "redis-server" in view.facts.get("packages", {}) else ["redis-server"],
        "would_install": "apt would install redis-server",
        "allowed": list(dict.fromkeys([*allowed, *settings["redis_allowed_addresses"]])),
    }


def address_in(bind: str) -> str:
    """The address of an address and a port, without brackets."""
    return bind.rpartition(":")[0].strip("[]")


def redis_url(groups: Groups, hostvars: Hosts, app_server: str) -> str:
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


def redis_servers_of(groups: Groups, hostvars: Hosts, app_server: str) -> list[str]:
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


def user_of(app_server: str, server: str, hostvars: Hosts) -> str:
    """User and password as URLs have them: the app's own with app_redis_keys, else those of all; empty for none."""
    app = hostvars[app_server]
    if app.get("app_redis_keys"):
        return f"{USER_PREFIX}{app.get('app_name') or ''}:{quote(str(app.get('app_redis_password') or ''), safe='')}"
    return f":{password_of(server, hostvars)}" if bind_of(server, hostvars) else ""


def redis_group(groups: Groups, hostvars: Hosts) -> list[str]:
    """The hosts of redis_servers that have an address, each machine once, in the order of the inventory.

    Three or more are one group, of which Sentinel chooses the primary.
    """
    members: dict[tuple[str, str], str] = {}
    for server in groups.get(GROUP) or []:
        if server in hostvars and bind_of(server, hostvars):
            members.setdefault(machine(server, hostvars), server)
    return list(members.values())


def bind_of(server: str, hostvars: Hosts) -> str:
    """Address and port of a Redis, empty where it has a Unix socket."""
    return str(hostvars[server].get("redis_bind") or "")


def password_of(server: str, hostvars: Hosts) -> str:
    """The password of a Redis as URLs have it."""
    return quote(str(hostvars[server].get("redis_password") or ""), safe="")


def must_reach(app_server: str, server: str, bind: str) -> None:
    """Raise AnsibleFilterError when the Redis of a server has no address that other machines reach."""
    if not is_remote(bind.rpartition(":")[0]):
        raise AnsibleFilterError(
            f"{app_server} cannot reach the Redis of {server} at {bind or 'its Unix socket'}; set redis_bind of "
            f"{server} to its private address and port, such as 10.0.0.5:6379."
        )
