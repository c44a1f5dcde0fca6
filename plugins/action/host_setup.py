# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds out what a host lacks of what it is to have; one that lacks nothing is not asked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory_name import inventory_name
from ansible_collections.production.fastapi.plugins.plugin_utils.run_key import KEY

ABOUT_THE_TASK = {"ansible_facts", "changed", "failed", "invocation", "msg", "warnings", "would"}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _supports_check_mode = True
    _VALID_ARGS = frozenset(("host", "packages", "also", "held", "users"))
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the host as it is then. After a failure as it was known, because later tasks read that."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        known = task_vars or {}
        names = {"type": "list", "elements": "str", "default": []}
        _unused, options = self.validate_argument_spec(
            argument_spec={
                "host": {"type": "dict", "required": True},
                "packages": names,
                "also": {"type": "list", "elements": "dict", "default": []},
                "held": names,
                "users": {"type": "list", "elements": "dict", "default": []},
            }
        )
        check_mode = bool(self._task.check_mode)
        host = {key: value for key, value in options["host"].items() if key not in ABOUT_THE_TASK}
        lacks = missing(host, options, check_mode=check_mode)
        result |= {"made": [], **host, "changed": False, "would": "", "_ansible_verbose_override": True}
        if not lacks["packages"] and not lacks["users"]:
            return result
        arguments = {**lacks, "host": {}, "key": KEY}
        seen: dict[str, Any] = self._execute_module(
            "production.fastapi.host_setup", module_args=arguments, task_vars=known
        )
        if not seen.get("failed") and check_mode:
            return result | {"changed": seen["changed"], "would": would(lacks, seen)}
        return result | seen | {"inventory": inventory_name(known)}


def missing(host: Mapping[str, Any], options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """What of the options the host lacks, as the options of the module."""
    others = [] if check_mode else [each.get("derived", {}) for each in options["also"]]
    named = dict.fromkeys([*options["packages"], *chain(*(other.get("missing", ()) for other in others))])
    held = {*options["held"], *chain(*(other.get("held", ()) for other in others))}
    packages = [name for name in named if name not in host["packages"]]
    return {
        "packages": packages,
        "held": [name for name in packages if name in held],
        "users": [user for user in options["users"] if user["name"] not in host["users"]],
    }


def would(lacks: Mapping[str, Any], seen: Mapping[str, Any]) -> str:
    """What check mode says of it."""
    made = [user["name"] for user in lacks["users"]]
    parts = [f"apt would install {', '.join(lacks['packages'])}"] if seen["packages_wanted"] else []
    parts += [f"the system {'users' if len(made) > 1 else 'user'} {' and '.join(made)} would be made"] if made else []
    return "; ".join(parts)
