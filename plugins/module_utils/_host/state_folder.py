# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a host keeps what is to be remembered of apps and of transactions."""

from __future__ import annotations

# Below the root of the host.
STATE = "var/lib/production.fastapi"
