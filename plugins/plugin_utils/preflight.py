# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the settings of a role on a host: converts them by the role's argument spec, and has `checks` look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import keepalived, redis
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.settings import Spec, convert

ROLES = Path(__file__).resolve().parents[2] / "roles"
CHECKS: dict[str, Callable[[Mapping[str, Any], View], Iterable[str]]] = {
    "keepalived": keepalived.problems,
    "redis": redis.problems,
}


def options_of(role: str) -> Spec:
    """The options of a role, by name."""
    specs = DataLoader().load_from_file(str(ROLES / role / "meta" / "argument_specs.yml"))
    options: Spec = specs["argument_specs"]["main"]["options"]
    return options


def examine(role: str, value_of: Callable[[str], Any], view: View) -> tuple[dict[str, Any], list[str]]:
    """The settings of a role as it means them, without its secrets, and all that is wrong with them.

    `value_of` gives the value of a variable. Where a check says more of a setting than that it has the wrong type, only
    that is told.
    """
    options = options_of(role)
    settings, wrong = convert(options, {name: value_of(name) for name in options})
    found = list(CHECKS[role](settings, view))
    told = [sentence for name, sentence in wrong.items() if not any(each.startswith(f"{name} ") for each in found)]
    shown = {name: value for name, value in settings.items() if not options[name].get("no_log")}
    return shown, told + found
