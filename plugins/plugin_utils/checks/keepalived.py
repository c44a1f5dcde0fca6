# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role keepalived refuses, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View, system_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import number
from ansible_collections.production.fastapi.plugins.plugin_utils.virtual_router import virtual_router


def problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with the settings of a load balancer, and with those that share its address."""
    yield from system_problems(view.facts)
    router_id, delay = settings["keepalived_router_id"], settings["keepalived_preempt_delay"]
    if number(router_id, 1, 255) is None:
        yield f'keepalived_router_id is "{router_id}"; write a whole number from 1 to 255.'
    if number(delay, 0, 1000) is None:
        yield f'keepalived_preempt_delay is "{delay}"; write whole seconds from 0 to 1000.'
    address = settings["keepalived_address"]
    if address:
        yield from virtual_router(view.groups, view.hostvars, view.host, address, view.facts.get("addresses", {}))[
            "problems"
        ]
