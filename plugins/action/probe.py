# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's half of `production.fastapi.probe`: how far the clocks of controller and host are apart."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, and compare its clock with this one as soon as it has answered."""
        super().run(tmp, task_vars)
        result: dict[str, Any] = self._execute_module(
            "production.fastapi.probe", module_args=dict(self._task.args), task_vars=task_vars or {}
        )
        if "now" in result:
            result["ahead"] = round(time.time() - result.pop("now"), 3)
        return result
