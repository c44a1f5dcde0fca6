# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Nginx spreads the requests of a site over its servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

STRATEGIES = {
    "round_robin": "",
    "least_conn": "least_conn",
    "ip_hash": "ip_hash",
    "hash": "hash {key} consistent",
    "random_two": "random two least_conn",
}
# A backup is for when the others are away; these strategies have no such order, and Nginx refuses it.
WITHOUT_BACKUP = ("ip_hash", "hash", "random_two")
KEY = re.compile(r"[^\s;{}\"'\\]*\$[^\s;{}\"'\\]+")
Server = str | Mapping[str, Any]


def upstream(site: Mapping[str, Any]) -> list[str]:
    """The directives of the upstream block of a site."""
    strategy = STRATEGIES[site.get("balance", "round_robin")].format(key=site.get("balance_key", ""))
    several = len(site["servers"]) > 1
    # The failures of a single server count for nothing, because there is no other to turn to.
    failures = f" max_fails={site.get('max_fails', 3)} fail_timeout={site.get('fail_timeout', 5)}s" if several else ""
    servers = [f"server {server_address(server)}{options_of(server)}{failures}" for server in site["servers"]]
    return [f"zone fastapi_{site['name']} 128k", *([strategy] if strategy else []), *servers]


def server_address(server: Server) -> str:
    """The address of a server, which is a text or a dictionary."""
    return str(server.get("address", "")) if isinstance(server, Mapping) else str(server)


def options_of(server: Server) -> str:
    """What Nginx is told of a server besides its address."""
    if not isinstance(server, Mapping):
        return ""
    weight = f" weight={server['weight']}" if server.get("weight", 1) != 1 else ""
    return weight + (" backup" if server.get("backup") else "") + (" down" if server.get("drained") else "")


def balance_problems(site: Mapping[str, Any]) -> list[str]:
    """What is wrong with the way a site is balanced, one sentence each."""
    problems = []
    balance, key = str(site.get("balance", "round_robin")), str(site.get("balance_key", ""))
    if balance not in STRATEGIES:
        problems.append(f"its balance is {balance!r}; write one of {', '.join(STRATEGIES)}.")
    if balance == "hash" and not KEY.fullmatch(key):
        problems.append(f"its balance_key is {key!r}; write what the hash is of, such as $cookie_session.")
    if balance != "hash" and key:
        problems.append(f"it has a balance_key, which only balance hash uses, and not {balance}; take one of them out.")
    problems += [
        f"its {name} is {site[name]!r}; write a whole number from {lowest}."
        for name, lowest in (("max_fails", 0), ("fail_timeout", 1))
        if name in site and not is_number(site[name], lowest)
    ]
    servers = [] if isinstance(site["servers"], str) else site["servers"]
    described = [server for server in servers if isinstance(server, Mapping)]
    problems += [
        f"the weight (app_weight) of {server_address(server)} is {server['weight']!r}; write a whole number from 1."
        for server in described
        if "weight" in server and not is_number(server["weight"], 1)
    ]
    backups = [server for server in described if server.get("backup")]
    if backups and balance in WITHOUT_BACKUP:
        problems.append(
            f"{server_address(backups[0])} is a backup (app_backup), which Nginx refuses with balance {balance}; "
            "use round_robin or least_conn, or take the backup out."
        )
    if servers and len(backups) == len(servers):
        problems.append("all of its servers are backups (app_backup); let at least one be none.")
    return problems


def is_number(value: Any, lowest: int) -> bool:
    """Whether a value is a whole number that is not below the lowest."""
    return str(value).isdecimal() and int(value) >= lowest
