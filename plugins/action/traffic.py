# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's half of `production.fastapi.traffic`: it waits, so that no connection has to stay open meanwhile."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Wait, and run the module for the seconds that have passed, which the clock of any host knows."""
        super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(
            argument_spec={
                "servers": {"type": "dict", "required": True},
                "since": {"type": "float", "required": True},
                "seconds": {"type": "float", "default": 0},
            }
        )
        time.sleep(max(0.0, options["since"] + options["seconds"] - time.time()))
        options["seconds"] = time.time() - options["since"]
        result: dict[str, Any] = self._execute_module(
            "production.fastapi.traffic", module_args=options, task_vars=task_vars or {}
        )
        return result
