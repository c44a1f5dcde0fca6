# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The routes of a site with all that Nginx needs to know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADDRESS = "address"
TOTAL = "total"
SECONDS = {"s": 1, "m": 60}


def routes(site: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The routes of a site as they are written, and the rest of the site last if it is not among them."""
    entries = list(site.get("routes") or [])
    if "/" not in [entry["path"] for entry in entries]:
        entries.append({"path": "/"})
    return [complete(site["name"], entry) for entry in entries]


def complete(site: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """A route with all its values; `retry_after` is how long its slowest limit asks a client to wait, in seconds."""
    limits = [limit_of(site, entry["path"], limit) for limit in entry.get("limits") or []]
    return {
        "path": entry["path"],
        "limits": limits,
        "body_size": str(entry.get("body_size", "")),
        "stream": bool(entry.get("stream", False)),
        "read_timeout": int(entry.get("read_timeout", 0)),
        "cache": int(entry.get("cache", 0)),
        "immutable": bool(entry.get("immutable", False)),
        "retry_after": max((wait(limit["rate"]) for limit in limits), default=1),
    }


def limit_of(site: str, path: str, limit: Mapping[str, Any]) -> dict[str, Any]:
    """A limit as `limit_req` takes it.

    The zone is named after what it counts: Nginx refuses to reload when a zone of the same name gets another key.
    """
    key = str(limit.get("key", ADDRESS))
    return {
        "key": key,
        "variable": "rate_limit_key" if key == ADDRESS else f"rate_limit_{identifier(key)}",
        "rate": str(limit["rate"]).replace("/", "r/"),
        "burst": int(limit.get("burst", 0)),
        "delay": bool(limit.get("delay", False)),
        "zone": f"{site}{path}@{identifier(key)}",
    }


def identifier(key: str) -> str:
    """A header's name as Nginx writes it in its variables."""
    return key.lower().replace("-", "_")


def wait(rate: str) -> int:
    """Seconds until a limit such as `5r/m` lets the next request through, rounded up."""
    requests, unit = rate.split("r/")
    return -(-SECONDS[unit] // int(requests))


def limited_headers(sites: list[Mapping[str, Any]]) -> list[str]:
    """The headers by which some route of the sites is limited, as Nginx writes them in its variables."""
    keys = {limit["key"] for site in sites for route in routes(site) for limit in route["limits"]}
    return sorted({identifier(key) for key in keys - {ADDRESS, TOTAL}})
