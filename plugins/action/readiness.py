# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges what the module of the same name has read; a host that is set up costs no round trip."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import readiness


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _supports_check_mode = True
    _VALID_ARGS = frozenset(("host", "always", "required"))
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what is in the way, or all sentences in one message."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        known = task_vars or {}
        _unused, options = self.validate_argument_spec(
            argument_spec={
                "host": {"type": "dict", "required": True},
                "always": {"type": "bool", "default": False},
                "required": {"type": "bool", "default": True},
            }
        )
        host, groups, hostvars = known["inventory_hostname"], known["groups"], known["hostvars"]
        app = str(hostvars[host].get("app_name", "app"))
        if readiness.is_set_up(options["host"], host, groups, app) and not options["always"]:
            return result | {"changed": False, "problems": []}
        began = time.time()
        seen = self._execute_module("production.fastapi.readiness", module_args={"host": {}}, task_vars=known)
        if seen.get("failed"):
            return {**result, **seen}
        seen["behind"] = readiness.behind(seen["now"], began, time.time() - seen["took"])
        problems = list(readiness.problems(seen, options["host"], host, groups, hostvars))
        failed = bool(problems) and options["required"]
        message = " ".join(f"{host}: {sentence}" for sentence in problems) if failed else ""
        return result | {"changed": False, "failed": failed, "msg": message, "problems": problems}
