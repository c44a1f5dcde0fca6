# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers from `__fastapi_host` when a host has been read before; several roles ask, one round trip is enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory_name import inventory_name
from ansible_collections.production.fastapi.plugins.plugin_utils.readiness import refusal
from ansible_collections.production.fastapi.plugins.plugin_utils.run_key import KEY

ABOUT_THE_TASK = {"ansible_facts", "changed", "deprecations", "failed", "invocation", "warnings"}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _supports_check_mode = True
    _VALID_ARGS = frozenset(("refresh", "candidates", "ready"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The known result, or that of the module."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        host = known_host(task_vars.get("__fastapi_host"))
        if host is None or boolean(self._task.args.get("refresh", False), strict=False):
            arguments = {**self._task.args, "key": KEY}
            ready = boolean(arguments.pop("ready", False), strict=False)
            host = self._execute_module("production.fastapi.host_info", module_args=arguments, task_vars=task_vars)
            if ready and not host.get("failed") and (refused := refusal(host, task_vars, self._execute_module)):
                return result | {"changed": False} | refused
        return {**result, "changed": False, **host, "inventory": inventory_name(task_vars)}


def known_host(registered: Any) -> dict[str, Any] | None:
    """What an earlier task has learned, None if it was skipped, failed or is something else."""
    if not isinstance(registered, Mapping) or registered.get("failed") or registered.get("skipped"):
        return None
    if "packages" not in registered:
        return None
    return {key: value for key, value in registered.items() if key not in ABOUT_THE_TASK}
