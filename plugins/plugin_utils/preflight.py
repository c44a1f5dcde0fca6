# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the settings of a role on a host: converts them by the role's argument spec, and has `checks` look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ansible.parsing.dataloader import DataLoader
from ansible_collections.production.fastapi.plugins.plugin_utils import gunicorn as gunicorn_plan
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import gunicorn, keepalived, redis
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.settings import Spec, convert

ROLES = Path(__file__).resolve().parents[2] / "roles"
# What is only known later in a run, so that the value of now must not be kept.
LATER = ("gunicorn_release",)

Problems = Callable[[Mapping[str, Any], View], Iterable[str]]
Derived = Callable[[Mapping[str, Any], View], dict[str, Any]]


def nothing(_settings: Mapping[str, Any], _view: View) -> dict[str, Any]:
    """What a role works out that needs nothing but its settings."""
    return {}


class Role(NamedTuple):
    """What a role refuses, and what it works out from its settings and the inventory."""

    problems: Problems
    derived: Derived = nothing


class Examination(NamedTuple):
    """Settings as the role means them, without its secrets, what is worked out from them, and all that is wrong."""

    settings: dict[str, Any]
    derived: dict[str, Any]
    problems: list[str]


CHECKS = {
    "gunicorn": Role(gunicorn.problems, gunicorn_plan.derived),
    "keepalived": Role(keepalived.problems),
    "redis": Role(redis.problems),
}


@cache
def options_of(role: str) -> Spec:
    """The options of a role, by name."""
    specs = DataLoader().load_from_file(str(ROLES / role / "meta" / "argument_specs.yml"))
    options: Spec = specs["argument_specs"]["main"]["options"]
    return options


def examine(role: str, value_of: Callable[[str], Any], view: View) -> Examination:
    """Convert and check the settings of a role; `value_of` gives the value of a variable.

    Where a check says more of a setting than that it has the wrong type, only that is told.
    """
    options = options_of(role)
    settings, wrong = convert(options, {name: value_of(name) for name in options})
    # A check relies on the types of lists and dictionaries.
    checked = settings | {name: empty(options[name]["type"], settings[name]) for name in wrong}
    found = list(CHECKS[role].problems(checked, view))
    told = [sentence for name, sentence in wrong.items() if not any(each.startswith(f"{name} ") for each in found)]
    shown = {name: value for name, value in settings.items() if not options[name].get("no_log") and name not in LATER}
    return Examination(shown, {} if told or found else CHECKS[role].derived(settings, view), told + found)


def empty(kind: str, value: Any) -> Any:
    """What stands for a value that could not be converted: itself where it is none of many."""
    return {"list": [], "dict": {}}.get(kind, str(value) if kind in ("str", "path") else value)
