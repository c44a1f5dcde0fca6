# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of the note that a server is drained."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import PATCH


def drain_step(note: Mapping[str, str], by: str, *, drain: bool) -> str:
    """What to do with the note of a server on a load balancer: C(write), C(remove) or C(keep).

    `note` is the one that is there, empty for none. An operator's word (`by` is drain) goes before that of `patch`: it
    replaces the note of an upgrade, which would otherwise end the drain when it goes on, and `patch` never removes it.
    """
    found = note.get("by", "")
    operator = by != PATCH
    if drain:
        return "write" if not found or (operator and found == PATCH) else "keep"
    return "remove" if found and (operator or found == PATCH) else "keep"
