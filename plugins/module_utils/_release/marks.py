# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a build leaves for those who look at releases, and keeps them out by, without the code that builds."""

from __future__ import annotations

# A release is complete when this file is there; until then it is a build under way, or one that was killed.
COMPLETE = "release.json"
UNDER_WAY = "release.json.building"


def build_lock(name: str) -> str:
    """The name of the lock that a build of an app holds."""
    return f"{name}.build"
