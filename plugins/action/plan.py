# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Works out what a playbook does, on the controller; no host is asked."""

from __future__ import annotations

from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import callback_loader
from ansible_collections.production.fastapi.plugins.plugin_utils.plans import PLANS, Run


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("of", "given"))
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the plan, or all sentences in one message."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        known = task_vars or {}
        _unused, options = self.validate_argument_spec(
            argument_spec={
                "of": {"type": "str", "required": True, "choices": sorted(PLANS)},
                "given": {"type": "dict", "default": {}},
            }
        )
        run = Run(
            groups=known["groups"],
            hostvars=known["hostvars"],
            host=known["inventory_hostname"],
            hosts=known["ansible_play_hosts_all"],
            check_mode=known["ansible_check_mode"],
        )
        plan = PLANS[options["of"]](run, options["given"])
        if plan.problems:
            return result | {"changed": False, "failed": True, "msg": " ".join(plan.problems)}
        if plan.warnings:
            result["warnings"] = plan.warnings
        # Not for people: with -v it would be a page in every run.
        values = plan.values | {"shown": as_shown(plan.shown)}
        return result | {"changed": False, "plan": values, "_ansible_verbose_override": True}


def as_shown(lines: list[str]) -> str | list[str]:
    """Lines that Ansible shows as they are: one text where it writes YAML, which would fold them, else a list."""
    callback = callback_loader.get("default", class_only=True)
    shown_as = constants.config.get_config_value(
        "result_format", plugin_type="callback", plugin_name=callback.ansible_name.rpartition(".")[2]
    )
    return "\n".join(lines) if shown_as == "yaml" or len(lines) == 1 else lines
