# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Nginx spreads the requests of a site over its servers."""

from __future__ import annotations

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
Server = str | Mapping[str, Any]


def upstream(site: Mapping[str, Any]) -> list[str]:
    """The directives of the upstream block of a site."""
    strategy = STRATEGIES[site.get("balance", "round_robin")].format(key=site.get("balance_key", ""))
    several = len(site["servers"]) > 1
    # The failures of a single server count for nothing, because there is no other to turn to.
    failures = f" max_fails={site.get('max_fails', 3)} fail_timeout={site.get('fail_timeout', 5)}s" if several else ""
    servers = [f"server {server_address(server)}{options_of(server)}{failures}" for server in site["servers"]]
    # With an @, so that an app may have the name of another zone of ours, such as `kept`.
    return [f"zone fastapi_{site['name']}@servers 128k", *([strategy] if strategy else []), *servers]


def server_address(server: Server) -> str:
    """The address of a server, which is a text or a dictionary."""
    return str(server.get("address", "")) if isinstance(server, Mapping) else str(server)


def options_of(server: Server) -> str:
    """What Nginx is told of a server besides its address."""
    if not isinstance(server, Mapping):
        return ""
    weight = f" weight={server['weight']}" if server.get("weight", 1) != 1 else ""
    return weight + (" backup" if server.get("backup") else "") + (" down" if server.get("drained") else "")
