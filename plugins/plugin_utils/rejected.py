# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to write where Nginx has rejected files that pages load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Folders that are named; a page with more of them has the same cause.
MOST = 3


def sentences_of(rejected: Mapping[str, Mapping[str, Any]], when: str) -> Iterator[str]:
    """A sentence for each folder of `access_log.rejected_assets`, of the time that `when` says."""
    for folder, seen in list(rejected.items())[:MOST]:
        times = "once" if seen["count"] == 1 else f"{seen['count']:,} times"
        yield (
            f"Nginx's rate limit rejected files of pages {times} {when}, such as {seen['path']}; "
            f"nginx_rate_limit_exempt: [/healthz, /readyz, {folder}] exempts them."
        )
