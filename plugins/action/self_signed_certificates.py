# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Goes to the host only where a certificate is missing or does not fit: `host_info` has read them."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.module_utils._nginx.certificate_store import settled

# With one of these, the certificates are others than those that were read, or some may have to go.
MORE = {"directory", "days", "renew_days", "remove_obsolete"}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _supports_check_mode = True
    _supports_diff = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the module would return, or its result."""
        super().run(tmp, task_vars)
        options = dict(self._task.args)
        found = options.pop("found", None)
        wanted = options.get("certificates")
        if found and isinstance(wanted, list) and not MORE & set(options):
            known = settled(wanted, found)
            if known is not None:
                return known
        result: dict[str, Any] = self._execute_module(
            "production.fastapi.self_signed_certificates", module_args=options, task_vars=task_vars or {}
        )
        return result
