# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which apps use a Redis, and the user that each has where they are kept apart by app_redis_keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils.redis import USER_PREFIX, redis_servers_of

# Redis reads more into a pattern; a beginning is what can be compared with those of other apps.
KEYS = re.compile(r"[A-Za-z0-9._:{}-]+\*")
SHORTEST_PASSWORD = 16


@dataclass(frozen=True)
class RedisUser:
    """An app that uses a Redis: its name, which is that of its user, its keys, and its password."""

    app: str
    keys: str
    password: str


def redis_users(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any], server: str) -> list[RedisUser]:
    """The apps that use the Redis of a server, in the order of the inventory, each once for each value that it has."""
    found: dict[RedisUser, None] = {}
    for app_server in groups.get("app_servers") or []:
        variables = hostvars[app_server]
        try:
            servers = redis_servers_of(groups, hostvars, app_server)
        except AnsibleFilterError:
            continue  # the app's own checks tell of it
        if server in servers and variables.get("app_name"):
            names = ("app_name", "app_redis_keys", "app_redis_password")
            found[RedisUser(*(str(variables.get(name) or "") for name in names))] = None
    return list(found)


def user_problems(users: Sequence[RedisUser]) -> Iterator[str]:
    """What is wrong with the users of a Redis, one sentence each; none when no app has app_redis_keys."""
    if not any(user.keys for user in users):
        return
    without = sorted({user.app for user in users if not user.keys})
    if without:
        yield (
            f"app_redis_keys is missing for {', '.join(without)}, and another app of the same Redis has it; write "
            f"the keys of each app, such as app_redis_keys: {without[0]}:*, or those of none."
        )
    for user in users:
        if user.keys and not KEYS.fullmatch(user.keys):
            yield (
                f'app_redis_keys of {user.app} is "{user.keys}"; write how its keys begin and an asterisk, such as '
                f"{user.app}:*."
            )
        if user.keys and len(user.password) < SHORTEST_PASSWORD:
            yield (
                f"app_redis_password of {user.app} is {'too short' if user.password else 'missing'}; write one of "
                f"{SHORTEST_PASSWORD} characters or more, such as `openssl rand -hex 24` makes, best in a vault."
            )
    for one, other in combinations([user for user in users if user.keys], 2):
        if one.app == other.app:
            yield f"app_redis_keys and app_redis_password of {one.app} differ between its servers; write them once."
        elif one.keys[:-1].startswith(other.keys[:-1]) or other.keys[:-1].startswith(one.keys[:-1]):
            yield (
                f"app_redis_keys of {one.app} ({one.keys}) and of {other.app} ({other.keys}) overlap; write keys of "
                "which none begins as those of another app."
            )


def access_rules(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any], server: str) -> list[dict[str, str]]:
    """Of each app with keys of its own: its user, its keys, and the SHA-256 of the password, as Redis compares it."""
    return [
        {
            "name": f"{USER_PREFIX}{user.app}",
            "pattern": user.keys,
            "sha256": hashlib.sha256(user.password.encode()).hexdigest(),
        }
        for user in redis_users(groups, hostvars, server)
        if user.keys
    ]
