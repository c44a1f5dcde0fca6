# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two inventories on one server: `plugin_utils/checks/inventories.py` has the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.inventories import other_sites


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"other_sites": other_sites}
