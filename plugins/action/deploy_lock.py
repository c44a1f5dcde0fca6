# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's half of `production.fastapi.deploy_lock`: which process deploys, and whether another one is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import Lock
from ansible_collections.production.fastapi.plugins.plugin_utils.controller import is_gone, this_deploy


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """One round trip; a second one to take the lock of a process of this machine that is gone."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """See the module of the same name for the options."""
        super().run(tmp, task_vars)
        arguments = {**self._task.args, "controller": this_deploy()}
        result = self._module(arguments, task_vars or {})
        in_the_way = result.get("lock")
        taking = arguments.get("state", "taken") == "taken"
        if taking and result.get("failed") and isinstance(in_the_way, Mapping) and in_the_way:
            found = Lock(**in_the_way)
            if is_gone(found.controller):
                result = self._module({**arguments, "instead_of": found.deploy}, task_vars or {})
        return result

    def _module(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            "production.fastapi.deploy_lock", module_args=dict(arguments), task_vars=task_vars
        )
        return result
