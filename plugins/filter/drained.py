# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which app servers get no new requests for the time being."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drained
short_description: Name the app servers that are drained
description:
  - A server is drained when one of the load balancers that were read has it so, which a new one then agrees with.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description: All variables of all hosts, with what P(production.fastapi.host_info#module) has read.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who is drained
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.drained(hostvars) }}"
"""

RETURN = r"""
_value:
  description: The inventory names.
  type: list
  elements: str
  sample: [app2]
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

PATCH = "patch"


def drained(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any]) -> list[str]:
    """The inventory names of the drained servers, sorted."""
    return sorted({str(server) for entries in notes(groups, hostvars) for server in entries})


def notes(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What each load balancer that was read has noted of the servers that it has drained."""
    hosts = [hostvars[balancer].get("__fastapi_host") for balancer in groups.get("load_balancers", [])]
    return [host.get("drained", {}) for host in hosts if isinstance(host, Mapping)]


def drain_step(note: Mapping[str, str], by: str, *, drain: bool) -> str:
    """What to do with the note of a server on a load balancer: C(write), C(remove) or C(keep).

    `note` is the one that is there, empty for none. An operator's word (`by` is drain) goes before that of `patch`: it
    replaces the note of an upgrade, which would otherwise end the drain when it goes on, and `patch` never removes it.
    """
    found = note.get("by", "")
    operator = by != PATCH
    if drain:
        return "write" if not found or (operator and found == PATCH) else "keep"
    return "remove" if found and (operator or found == PATCH) else "keep"


def drain_problems(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any], server: str) -> list[str]:
    """Why a server cannot be drained, one sentence each."""
    servers = groups.get("app_servers", [])
    if server not in servers:
        return [f"server is {server!r}; write -e server=NAME with one of {', '.join(servers)}."]
    app = hostvars[server].get("app_name", "app")
    away = {server, *drained(groups, hostvars)}
    if any(hostvars[other].get("app_name", "app") == app for other in servers if other not in away):
        return []
    return [f"{server} is the last server of the app {app} that is not drained; undrain another one first."]


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"drained": drained, "drain_problems": drain_problems, "drain_step": drain_step}
