# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the settings of a role on a host: converts them by the role's argument spec, and has `checks` look at them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]  # PyYAML ships no types
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible_collections.production.fastapi.plugins.module_utils._host.masking import MASK, mask_url
from ansible_collections.production.fastapi.plugins.plugin_utils import app as app_plan
from ansible_collections.production.fastapi.plugins.plugin_utils import gunicorn as gunicorn_plan
from ansible_collections.production.fastapi.plugins.plugin_utils import nginx as nginx_plan
from ansible_collections.production.fastapi.plugins.plugin_utils import redis as redis_plan
from ansible_collections.production.fastapi.plugins.plugin_utils import virtual_router
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import (
    app,
    draining,
    gunicorn,
    keepalived,
    maintenance,
    nginx,
    redis,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.settings import Spec, convert, inner_problem

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROLES = Path(__file__).resolve().parents[2] / "roles"
# What is only known later in a run, so that the value of now must not be kept.
LATER = ("gunicorn_release",)

Problems = Callable[[Mapping[str, Any], View], Iterable[str]]
Derived = Callable[[Mapping[str, Any], View], dict[str, Any]]


def nothing(_settings: Mapping[str, Any], _view: View) -> dict[str, Any]:
    """What is worked out by a role that needs nothing but its settings."""
    return {}


def no_problems(_settings: Mapping[str, Any], _view: View) -> list[str]:
    """What is wrong where everything will do."""
    return []


def unchanged(settings: Mapping[str, Any], _view: View) -> Mapping[str, Any]:
    """The settings of a step that takes them as they are."""
    return settings


class Check(NamedTuple):
    """What is refused, what is worked out from settings and inventory, and what a step makes of the settings."""

    problems: Problems
    derived: Derived = nothing
    settings: Callable[[Mapping[str, Any], View], Mapping[str, Any]] = unchanged


class Examination(NamedTuple):
    """Settings as the role means them, without its secrets, what is worked out from them, and all that is wrong."""

    settings: dict[str, Any]
    derived: dict[str, Any]
    problems: list[str]


CHECKS = {
    "app": Check(app.problems, app_plan.derived),
    "gunicorn": Check(gunicorn.problems, gunicorn_plan.derived),
    "keepalived": Check(keepalived.problems, virtual_router.derived),
    "nginx": Check(nginx.problems, nginx_plan.derived),
    "redis": Check(redis.problems, redis_plan.derived),
}
# What an operator asks of a role by a playbook of its own.
STEPS = {
    "drain": Check(draining.problems, draining.to_drain),
    "leave": Check(no_problems, settings=nginx_plan.without_app),
    "maintenance": Check(maintenance.problems, maintenance.asked),
    "undrain": Check(no_problems, draining.to_undrain),
}


@cache
def options_of(role: str) -> Spec:
    """The options of a role, by name."""
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    # Ansible's own loader notes where each value stands, in ten times the time, for each host and role of a run.
    specs = yaml.load(text, Loader=LOADER)  # noqa: S506  # a safe one
    options: Spec = specs["argument_specs"]["main"]["options"]
    return options


def examine(role: str, value_of: Callable[[str], Any], view: View, step: str = "") -> Examination:
    """Convert and check the settings of a role, and what a step is asked for; `value_of` gives the value of a variable.

    Where a check says more of a setting than that it has the wrong type, only that is told.
    """
    options = options_of(role)
    given, unread = read(options, value_of)
    settings, wrong = convert({name: options[name] for name in given}, given)
    for name in given.keys() - wrong.keys():
        if inner := inner_problem(name, options[name], settings[name]):
            wrong[name] = inner
    settings |= {name: empty(options[name]["type"], None) for name in unread}
    if step:
        settings = dict(STEPS[step].settings(settings, view))
    # A check relies on the types of lists and dictionaries.
    typed = settings | {name: empty(options[name]["type"], settings[name]) for name in wrong}
    checks = [CHECKS[role], *([STEPS[step]] if step else [])]
    found = list(unread.values()) + [sentence for check in checks for sentence in check.problems(typed, view)]
    told = [sentence for name, sentence in wrong.items() if not any(is_about(name, each) for each in found)]
    secret = {name for name, value in typed.items() if is_secret(options[name], value)}
    shown = {
        name: masked(options[name], value) for name, value in typed.items() if name not in secret and name not in LATER
    }
    derived: dict[str, Any] = {}
    if not told and not found:
        for check in checks:
            derived |= check.derived(settings, view)
    return Examination(shown, derived, told + found)


def read(names: Iterable[str], value_of: Callable[[str], Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of variables, and a sentence for each that has none, as when the inventory does not yield it."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name in names:
        try:
            values[name] = value_of(name)
        except AnsibleError as error:
            problems[name] = reason_of(name, error)
    return values, problems


def reason_of(name: str, error: BaseException) -> str:
    """Why a variable has no value: what a filter of ours says, which is a sentence, else what Ansible says."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, AnsibleFilterError):
        return str(error.message)
    return f"{name} has no value, because its template fails: {error}"


def is_about(name: str, sentence: str) -> bool:
    """Whether a sentence begins with a variable."""
    return sentence.startswith((f"{name} ", f"{name}:"))


def is_secret(option: Mapping[str, Any], value: Any) -> bool:
    """Whether a setting is one, or has a URL with a password in it."""
    text = json.dumps(value, default=str)
    return bool(option.get("no_log")) or mask_url(text) != text


def masked(option: Mapping[str, Any], value: Any) -> Any:
    """A setting with what is secret in it, such as the password of a site, in asterisks."""
    hidden = {name for name, each in (option.get("options") or {}).items() if each.get("no_log")}
    if not hidden or not isinstance(value, list):
        return value
    return [{name: MASK if name in hidden and text else text for name, text in each.items()} for each in value]


def empty(kind: str, value: Any) -> Any:
    """What stands for a value that could not be converted: itself where it is none of many."""
    if kind in ("list", "dict"):
        return [] if kind == "list" else {}
    return str(value) if kind in ("str", "path") else value
