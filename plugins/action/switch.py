# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Goes to the host only where there is something to do: `host_info` has seen whether the app is settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the module would return, or its result."""
        super().run(tmp, task_vars)
        options = dict(self._task.args)
        standing = options.pop("standing", None) or {}
        if is_settled(options, standing):
            live = options["release"]
            return {"changed": False, "reasons": [], "live": live, "previous": live}
        result: dict[str, Any] = self._execute_module(
            "production.fastapi.switch", module_args=options, task_vars=task_vars or {}
        )
        return result


def is_settled(options: Mapping[str, Any], standing: Mapping[str, Any]) -> bool:
    """Whether the release is live, with the files of now, and has answered the path that is asked for."""
    return (
        bool(standing.get("settled"))
        and options.get("state", "live") == "live"
        and options.get("release") == standing.get("live")
        and options.get("current") == f"/srv/{options.get('name')}/current"
        and (options.get("health_path") or "") == standing.get("health_path")
    )
