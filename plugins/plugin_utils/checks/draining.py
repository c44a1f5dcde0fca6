# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a server cannot be drained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.draining import drain_step
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


def to_drain(_settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What becomes of the note of a server that is to be drained, and its contents."""
    note = {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": asked_by(view),
        "reason": view.variables.get("reason", ""),
    }
    return {"drain_step": step_of(view, drain=True), "note": json.dumps(note)}


def to_undrain(_settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What becomes of the note of a server that is to serve again."""
    return {"drain_step": step_of(view, drain=False)}


def step_of(view: View, *, drain: bool) -> str:
    """What to do with the note of the server on this load balancer."""
    return drain_step(view.facts["drained"].get(view.variables["server"], {}), asked_by(view), drain=drain)


def asked_by(view: View) -> str:
    """The playbook that asks: drain, or patch."""
    return str(view.variables.get("__nginx_drained_by", "drain"))
