# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment of an app, as people write it in YAML: what is wrong with it, and the text of each value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What all variables begin with that the roles give to an app. No app has such names for settings of its own.
PREFIX = "PRODUCTION_FASTAPI_"

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# A line break and a tab are text; no file of systemd's can hold the rest.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def as_text(value: Any) -> str:
    """The text of a value: `true` and `false` as YAML writes them, all else as Python writes what YAML has read."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def environment_problems(
    environment: Mapping[Any, Any], variable: str = "app_environment (gunicorn_environment)"
) -> list[str]:
    """One sentence for each kind of problem of a variable, with the names in it and never the values."""
    names = [str(name) for name in environment if not NAME.fullmatch(str(name))]
    empty = [str(name) for name, value in environment.items() if value is None]
    bad = [str(name) for name, value in environment.items() if _is_structure(value) or CONTROL.search(str(value))]
    sentences = {
        f"{', '.join(names)} can be no name of a variable; use A-Z, 0-9 and underscore.": names,
        f'{", ".join(empty)} has no value; write "" for an empty text, or leave the name out.': empty,
        f"the value of {', '.join(bad)} has a control character or a structure, which an environment cannot hold; write"
        " it as text, as base64 or JSON.": bad,
    }
    return [f"{variable}: {sentence}" for sentence, found in sentences.items() if found]


def _is_structure(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple, set))
