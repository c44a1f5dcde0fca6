# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refuses mistyped parameters of a playbook, on the controller; no host is asked."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.production.fastapi.plugins.plugin_utils.parameters import PARAMETERS, parameter_problems


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("playbook",))
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare what was given on the command line with what the playbook has."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _unused, options = self.validate_argument_spec(
            argument_spec={"playbook": {"type": "str", "required": True, "choices": sorted(PARAMETERS)}}
        )
        problems = parameter_problems(options["playbook"], map(str, load_extra_vars(self._loader)))
        return result | {"changed": False, "failed": bool(problems), "msg": " ".join(problems)}
