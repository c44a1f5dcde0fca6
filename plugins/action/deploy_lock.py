# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's half of `production.fastapi.deploy_lock`: which process deploys, and whether another one is gone.

Most steps of a deploy begin with both a note of the time and a renewed lock, so one task does both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
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
        event, events = arguments.pop("event", ""), arguments.pop("events", [])
        noted = {"ansible_facts": {"__deploy_events": [*events, {"name": event, "at": time.time()}]}} if event else {}
        renewed = boolean(arguments.pop("renewed", False))
        if event and (renewed or self._task.check_mode):
            return {"changed": False, **noted}
        result = self._module(arguments, task_vars or {}) | noted
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
