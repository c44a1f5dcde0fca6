# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the inventory is called, so that a server remembers which one its apps and sites came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from ansible import context

# Names that many inventories have; the folder around them is called like the inventory.
GENERIC = {"", "hosts", "host", "inventory", "inventories", "ansible_inventory", "main", "all"}


def inventory_name(variables: Mapping[str, Any]) -> str:
    """The name in `fastapi_inventory`, by default made from what ansible-playbook was given with `-i`."""
    given = str(variables.get("fastapi_inventory") or "")
    return given or name_of_sources(context.CLIARGS.get("inventory") or ())


def name_of_sources(sources: Iterable[str]) -> str:
    """`production` of `inventories/production/hosts.yml` and of `production.ini`; of several sources, all names."""
    return "+".join(dict.fromkeys(map(_name, sources)))


def _name(source: str) -> str:
    if "," in source:
        return _plain(source.partition(",")[0])
    path = PurePath(source)
    # Of the parts from the last to the first, the first one that says something.
    for part in (path.stem, *reversed(path.parent.parts)):
        if part.lower() not in GENERIC and part not in ("/", ".", ".."):
            return _plain(part)
    return "inventory"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-") or "inventory"
