# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has to be for any of the roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERSIONS = ("12", "13")


def system_problems(host: Mapping[str, Any]) -> list[str]:
    """A sentence when the system that `host_info` has read is none that the collection supports."""
    distribution, version = host["distribution"], host["distribution_version"]
    if distribution == "debian" and version in VERSIONS:
        return []
    return [f"The host runs {f'{distribution} {version}'.strip()}; use Debian {' or '.join(VERSIONS)}."]
