# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a server cannot be drained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import Groups, Hosts, app_of, drained


def drain_problems(groups: Groups, hostvars: Hosts, server: str) -> list[str]:
    """Why a server cannot be drained, one sentence each."""
    servers = groups.get("app_servers", [])
    if server not in servers:
        return [f"server is {server!r}; write -e server=NAME with one of {', '.join(servers)}."]
    app = app_of(server, hostvars)
    away = {server, *drained(groups, hostvars)}
    if any(app_of(other, hostvars) == app for other in servers if other not in away):
        return []
    return [f"{server} is the last server of the app {app} that is not drained; undrain another one first."]


def problems(_settings: Mapping[str, Any], view: View) -> Iterable[str]:
    """What is wrong with the parameter of the playbook."""
    return drain_problems(view.groups, view.hostvars, str(view.variables.get("server", "")))
