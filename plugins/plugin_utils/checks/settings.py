# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of a role as it means them, from what people write: YAML, INI inventories, command lines, surveys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import boolean, decimal, number

LARGEST = 10**15
# What to write instead of a value that cannot be converted.
WANTED = {
    "bool": "write true or false",
    "dict": "write a dictionary, such as {name: value}",
    "float": "write a number",
    "int": "write a whole number",
    "list": "write a list, such as [one, two]",
}

Spec = Mapping[str, Mapping[str, Any]]


def convert(spec: Spec, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The given settings by the options of an argument spec, and a sentence for each that cannot be one, by its name.

    A setting that cannot be converted stays as it was given.
    """
    settings: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, option in spec.items():
        settings[name] = value = given[name]
        kind = str(option["type"])
        wanted = WANTED.get(kind, "write a text")
        try:
            settings[name] = converted(kind, value)
            if "choices" in option and settings[name] not in option["choices"]:
                wanted = f"write one of {', '.join(map(str, option['choices']))}"
                raise ValueError(name)
        except ValueError:
            shown = "not what it should be" if option.get("no_log") else json.dumps(value, default=str)
            problems[name] = f"{name} is {shown}; {wanted}."
    return settings, problems


def inner_problem(name: str, option: Mapping[str, Any], value: Any) -> str:
    """What is wrong with the elements of a list or the options of a dictionary, by the spec; empty when nothing is."""
    if "elements" not in option and "options" not in option:
        return ""
    if option.get("elements") == "dict" and not all(isinstance(each, Mapping) for each in value):
        # Where the spec does not list the keys, a check of the role does.
        keys = ", ".join(option.get("options", {}))
        return f"{name} is not a list of dictionaries; write one, each with {keys}." if keys else ""
    errors = ArgumentSpecValidator({name: dict(option)}).validate({name: value}).error_messages
    said = [error for error in errors if not any(error != other and error in other for other in errors)]
    return f"{name}: {' '.join(error if error.endswith('.') else f'{error}.' for error in said)}" if said else ""


def converted(kind: str, value: Any) -> Any:
    """A value as one of this type of an argument spec; raises ValueError when it means none."""
    if kind in ("list", "dict"):
        return structure(kind, value)
    if kind == "bool":
        found: Any = boolean(value)
    elif kind == "int":
        found = number(value, -LARGEST, LARGEST)
    elif kind == "float":
        found = decimal(value)
    else:
        found = None if value is None or isinstance(value, (Mapping, list)) else str(value)
    if found is None:
        raise ValueError(kind)
    return found


def structure(kind: str, value: Any) -> Any:
    """A list or a dictionary, also from a text: JSON, or for a list entries with commas between them."""
    if isinstance(value, str):
        if value.lstrip().startswith(("[", "{")):
            value = json.loads(value)
        elif kind == "list":
            value = [part.strip() for part in value.split(",") if part.strip()]
    if kind == "list" and isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    if kind == "dict" and isinstance(value, Mapping):
        return dict(value)
    raise ValueError(kind)
