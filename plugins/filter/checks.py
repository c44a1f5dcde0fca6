# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of `plugin_utils/checks` for the roles that still say in their variables what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks import shared, values
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import system_problems

KINDS: dict[str, Callable[[Any], Any]] = {
    "endpoint": values.endpoint,
    "entrypoint": values.entrypoint,
    "name": values.name,
    "network": values.network,
    "path": values.path,
}


def invalid(given: Iterable[Any], kind: str) -> list[Any]:
    """Those of the given values that are nothing of the kind."""
    return [value for value in given if KINDS[kind](value) is None]


def shared_problems(
    paths: Any, static: Any = None, folder: str = "", writable: Sequence[str] | None = None
) -> list[str]:
    """What is wrong with `app_shared`."""
    return list(shared.shared_problems(paths, static, folder, writable))


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"invalid": invalid, "shared_problems": shared_problems, "system_problems": system_problems}
