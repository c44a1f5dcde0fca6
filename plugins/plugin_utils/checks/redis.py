# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role redis refuses, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View, system_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import endpoint, network, number
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import addresses
from ansible_collections.production.fastapi.plugins.plugin_utils.redis import (
    GROUP,
    SENTINEL_PORT,
    bind_of,
    redis_group,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.redis_users import redis_users, user_problems


def problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with the settings of a host; no sentence has a password in it."""
    yield from system_problems(view.facts)
    bind = settings["redis_bind"]
    if bind:
        yield from address_problems(bind, settings, view)
    if number(settings["redis_memory"], 16, 1000000) is None:
        yield f'redis_memory is "{settings["redis_memory"]}"; write a whole number of MiB from 16 to 1000000.'
    yield from group_problems(view)
    yield from user_problems(redis_users(view.groups, view.hostvars, view.host))


def address_problems(bind: str, settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with a Redis that listens on an address, and with who gets through to it."""
    where = endpoint(bind)
    if where is None:
        yield (
            f'redis_bind is "{bind}"; write the private address of the host and a port, such as 10.0.0.5:6379 or '
            "[2001:db8::5]:6379, or leave it empty for a Unix socket."
        )
    elif where.address.is_unspecified:
        yield (
            f'redis_bind is "{bind}", which is every address of the host; write the private one, such as 10.0.0.5:6379.'
        )
    password = settings["redis_password"]
    if len(password) < 16:
        yield (
            f"redis_password is {'too short' if password else 'missing'}, and every host that reaches {bind} could "
            "guess it; write 16 characters or more, such as `openssl rand -hex 24` makes, best in a vault."
        )
    members = redis_group(view.groups, view.hostvars)
    in_group = len(members) > 2 and view.host in members
    known = addresses(view.groups, view.hostvars, view.host, "app_servers")
    if in_group:
        known = addresses(view.groups, view.hostvars, view.host, GROUP) + known
    unknown = [each for each in dict.fromkeys(known) if network(each) is None]
    if unknown:
        who = "the app servers and the group" if in_group else "the app servers"
        yield (
            f'redis_bind is "{bind}", to which only {who} can connect, but '
            f"{', '.join(unknown)} is not an IP address; set private_address of that host to the IP address that it "
            "connects from."
        )
    wrong = [str(each) for each in settings["redis_allowed_addresses"] if network(each) is None]
    if wrong:
        yield (
            f"redis_allowed_addresses has {', '.join(wrong)}; write IP addresses or networks, such as 10.0.0.5 or "
            "10.0.0.0/24."
        )


def group_problems(view: View) -> list[str]:
    """What is wrong with the group that a host is a member of, one sentence each."""
    host, hostvars = view.host, view.hostvars
    members = redis_group(view.groups, hostvars)
    if host not in members or len(members) == 1:
        return []
    if len(members) == 2:
        return [
            f"{' and '.join(members)} have a redis_bind, but one of two hosts cannot tell a dead host from a cut "
            f"network; keep one of them in the group {GROUP}, or add a third."
        ]
    problems = []
    password = str(hostvars[host].get("redis_sentinel_password") or "")
    if len(password) < 16:
        problems.append(
            f"redis_sentinel_password is {'too short' if password else 'missing'}, with which the Redis of "
            f"{', '.join(members)} authenticate to each other; write 16 characters or more in the variables of the "
            f"group {GROUP}, such as `openssl rand -hex 24` makes, best in a vault."
        )
    if password and password == hostvars[host].get("redis_password"):
        problems.append(
            "redis_sentinel_password is the same as redis_password, which the apps know; write another one, as it may "
            "stop and reconfigure Redis."
        )
    for name in ("redis_password", "redis_sentinel_password"):
        others = [member for member in members if hostvars[member].get(name) != hostvars[host].get(name)]
        if others:
            problems.append(
                f"{name} of {host} is not that of {', '.join(others)}; write it once, in the variables of the group "
                f"{GROUP} or of all."
            )
    if bind_of(host, hostvars).endswith(f":{SENTINEL_PORT}"):
        problems.append(f"redis_bind is {bind_of(host, hostvars)}, where Sentinel listens; write another port.")
    # A Redis cannot read what a newer one sends, and Debian 13's is newer.
    version = hostvars[host].get("__fastapi_host", {}).get("distribution_version")
    newer = [
        member
        for member in members
        if version and str(hostvars[member].get("__fastapi_host", {}).get("distribution_version") or "") > version
    ]
    if newer:
        problems.append(
            f"{host} runs Debian {version}, whose Redis cannot be a replica of the newer one of {', '.join(newer)}; "
            f"use the same Debian for all hosts of the group {GROUP}."
        )
    return problems
