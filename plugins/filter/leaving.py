# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the playbooks `remove` and `site` ask about apps that leave; `plugin_utils/leaving.py` has the rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.production.fastapi.plugins.plugin_utils import leaving


def removal_problems(
    groups: Mapping[str, Sequence[str]],
    hostvars: Mapping[str, Any],
    app: Any = "",
    everything: Any = False,
    packages: Any = "",
) -> list[str]:
    """Why the playbook `remove` cannot do what its parameters say, a sentence each."""
    given = {
        "app": str(app or ""),
        "everything": boolean(everything, strict=False),
        "packages": package_names(packages),
    }
    return list(leaving.removal_problems(groups, hostvars, given))


def package_names(packages: Any) -> list[str]:
    """The names in a text with commas between them, or in a list."""
    return [name.strip() for name in (packages.split(",") if isinstance(packages, str) else packages) if name.strip()]


def left_apps(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """A sentence for each app on these hosts, as `host_info` has read them, that the inventory does not have."""
    known = {host: hostvars[host].get("__fastapi_host") or {} for host in hosts}
    read = {host: seen for host, seen in known.items() if "packages" in seen}
    installed = {host: seen.get("apps", {}) for host, seen in read.items()}
    # Only status tells of sites, because another inventory's are no business of a run.
    return leaving.strangers(
        groups, hostvars, installed, {}, {host: seen.get("inventory", "") for host, seen in read.items()}
    )


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "first_of_machines": leaving.first_of_machines,
            "left_apps": left_apps,
            "removal_problems": removal_problems,
            "removed": lambda result, hostvars, host, check: leaving.removed(hostvars, host, result, check),
        }
