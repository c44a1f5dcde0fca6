# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the settings of a role before anything changes, on the controller; no host is asked."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.preflight import CHECKS, examine


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("role", "host"))
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the settings as the role means them, or all sentences in one message."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        known = task_vars or {}
        _unused, options = self.validate_argument_spec(
            argument_spec={
                "role": {"type": "str", "required": True, "choices": sorted(CHECKS)},
                "host": {"type": "dict", "required": True},
            }
        )
        view = View(known["inventory_hostname"], options["host"], known["groups"], known["hostvars"])
        settings, problems = examine(options["role"], self._templar.resolve_variable_expression, view)
        return result | {"changed": False, "failed": bool(problems), "msg": " ".join(problems), "settings": settings}
