# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the routes of sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values
from ansible_collections.production.fastapi.plugins.plugin_utils.routes import ADDRESS, identifier


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
            yield f"routes has the path {path}, but static files are there; remove one of them."
    for entry in entries:
        for problem in route_sentences(entry):
            yield f"its route {entry['path']} {problem}"


def route_sentences(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one route, as the end of a sentence that begins with the route."""
    if entry["path"] != "/" and values.plain_path(entry["path"]) is None:
        yield "is not a plain path; write one such as /api/upload."
    if (size := entry.get("body_size")) is not None and values.size(size) is None:
        yield f"has the body_size {size}; write a number with k, m or g, such as 100m."
    for key in ("read_timeout", "cache"):
        if key in entry and int(entry[key]) < 1:
            yield f"has the {key} {entry[key]}; write a number of seconds from 1, or leave it out."
    if int(entry.get("cache", 0)) and entry.get("stream"):
        yield "is streamed and cached; remove stream or cache, because Nginx can only cache what it buffers."
    if entry.get("immutable") and (entry.get("stream") or int(entry.get("cache", 0))):
        yield "is immutable, so it is kept for 30 days; remove stream and cache."
    limits = entry.get("limits") or []
    for name, count in Counter(identifier(str(limit.get("key", ADDRESS))) for limit in limits).items():
        if count > 1:
            yield f"has {count} limits by {name}; keep one."
    for limit in limits:
        yield from limit_sentences(limit)


def limit_sentences(limit: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one limit of a route."""
    key = str(limit.get("key", ADDRESS))
    if values.header(key) is None:
        yield f"is limited by {key!r}; write address, total or the name of a header, such as Authorization."
    if values.rate(limit["rate"]) is None:
        yield f"has the rate {limit['rate']}; write requests per second or minute, such as 10/s or 5/m."
    if int(limit.get("burst", 0)) < 0:
        yield f"has the burst {limit['burst']}; write 0 or more."
