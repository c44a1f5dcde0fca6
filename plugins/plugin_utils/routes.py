# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The routes of a site with all that Nginx needs to know of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

PATH = re.compile(r"/[\w.~/-]*", re.ASCII)
RATE = re.compile(r"([1-9]\d{0,5})/([sm])")
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
SIZE = re.compile(r"\d+[kKmMgG]?")
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


def route_problems(sites: list[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the routes of the sites, one sentence each; an empty list when Nginx can serve them."""
    return [f"Site {site['name']}: {problem}" for site in sites for problem in problems_of_site(site)]


def problems_of_site(site: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the routes of one site."""
    entries = site.get("routes") or []
    static = {entry["url"] for entry in site.get("static") or []}
    for path, count in Counter(str(entry["path"]) for entry in entries).items():
        if count > 1:
            yield f"routes has the path {path} {count} times; write all that holds for it in one entry."
        if path in static:
            yield f"routes has the path {path}, but static files are there; take one of them away."
    for entry in entries:
        for problem in route_sentences(entry):
            yield f"its route {entry['path']} {problem}"


def route_sentences(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one route, as the end of a sentence that begins with the route."""
    if not PATH.fullmatch(str(entry["path"])) or {".", ".."} & set(str(entry["path"]).split("/")):
        yield "is no plain path; write one such as /api/upload."
    if (size := entry.get("body_size")) is not None and not SIZE.fullmatch(str(size)):
        yield f"has the body_size {size}; write a number with k, m or g, such as 100m."
    for key in ("read_timeout", "cache"):
        if key in entry and int(entry[key]) < 1:
            yield f"has the {key} {entry[key]}; write a number of seconds from 1, or leave it out."
    if int(entry.get("cache", 0)) and entry.get("stream"):
        yield "is streamed and cached; take stream or cache away, because what is not buffered cannot be kept."
    limits = entry.get("limits") or []
    for name, count in Counter(identifier(str(limit.get("key", ADDRESS))) for limit in limits).items():
        if count > 1:
            yield f"has {count} limits by {name}; keep one."
    for limit in limits:
        yield from limit_sentences(limit)


def limit_sentences(limit: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one limit of a route."""
    key = str(limit.get("key", ADDRESS))
    if not HEADER.fullmatch(key):
        yield f"is limited by {key!r}; write address, total or the name of a header, such as Authorization."
    if not RATE.fullmatch(str(limit["rate"])):
        yield f"has the rate {limit['rate']}; write requests per second or minute, such as 10/s or 5/m."
    if int(limit.get("burst", 0)) < 0:
        yield f"has the burst {limit['burst']}; write 0 or more."
