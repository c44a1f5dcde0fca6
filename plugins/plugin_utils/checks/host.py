# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has to be for any of the roles, and what a check may look at besides the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

VERSIONS = ("12", "13")


@dataclass(frozen=True)
class View:
    """The inventory as one host sees it, and the host as `host_info` has read it."""

    host: str
    facts: Mapping[str, Any]
    groups: Mapping[str, Sequence[str]]
    hostvars: Mapping[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict)  # of the host, as a task of the role has them
    seen: Mapping[str, Any] = field(default_factory=dict)  # what other tasks of the role have found on the host


def system_problems(host: Mapping[str, Any]) -> list[str]:
    """A sentence when the system that `host_info` has read is none that the collection supports."""
    distribution, version = host["distribution"], host["distribution_version"]
    if distribution == "debian" and version in VERSIONS:
        return []
    return [f"The host runs {f'{distribution} {version}'.strip()}; use Debian {' or '.join(VERSIONS)}."]
