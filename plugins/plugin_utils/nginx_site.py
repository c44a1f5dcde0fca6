# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the file of a site says: worked out here once, so that its template only lays it out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.certificates import mode_of
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import bracketed
from ansible_collections.production.fastapi.plugins.plugin_utils.routes import ADDRESS, limited_headers, routes
from ansible_collections.production.fastapi.plugins.plugin_utils.upstream import upstream

Site = Mapping[str, Any]
Settings = Mapping[str, Any]

KEPT_FOR = "30d"  # files that do not change their names
CREDENTIALS = ("$http_authorization", "$http_cookie", "$http_x_api_key")
# For a page that people have uploaded: it is none of this site.
POWERLESS = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
# Who sets it in a text of their own is not second-guessed.
OWN_TIMEOUT = "proxy_read_timeout"


@dataclass(frozen=True)
class StaticPlan:
    """Files that Nginx serves itself: `tries` are their places below `root`, or there is one folder, the `alias`.

    `last` is what follows where there is no such file, `fallback` the page of a front end in `folder`, and `answers`
    are the directives that say what goes with a file.
    """

    url: str
    place: str
    folder: str
    fallback: str
    last: str
    pattern: str
    root: str
    tries: list[str]
    alias: str
    answers: list[str]
    body_size: str  # of what goes on to the app


@dataclass(frozen=True)
class RoutePlan:
    """A location that is passed to the app; `limits` are directives, and times are seconds."""

    path: str
    places: list[str]
    page: str
    answer_within: str
    limits: list[str]
    body_size: str
    read_timeout: int
    stream: bool
    cache: int
    immutable: bool
    extra_config: str


@dataclass(frozen=True)
class SitePlan:
    """A site; `variable` is its name as Nginx has it in variables, and lists of texts are directives or names."""

    name: str
    variable: str
    names: list[str]
    own_names: list[str]
    redirect_names: list[str]
    redirect_to: str
    is_placeholder: bool  # whether its certificate stays self-signed
    maintenance: Mapping[str, Any]  # empty when it is in none
    counted: list[str]  # the headers by which some route counts clients
    zones: list[str]
    credentials: str  # what an answer that is kept may not depend on; empty where none is kept
    upstream: list[str]
    scheme: str
    verifies_servers: bool
    is_closed: bool
    allow: list[str]
    asks_password: bool
    static: list[StaticPlan]
    routes: list[RoutePlan]
    extra_config: str


def site_plan(site: Site, settings: Settings, maintenance: Mapping[str, Any]) -> SitePlan:
    """A site as it is written; `maintenance` is what operators have asked for, by the names of sites."""
    domains, redirects = list(site["domains"]), list(site.get("redirect_domains", []))
    found = routes(site)
    counts = settings["nginx_rate_limit_mode"] != "disabled"
    limits = [limit for route in found for limit in route["limits"]] if counts else []
    headers, caches = limited_headers([site]), any(route["cache"] for route in found)
    secure = bool(site.get("upstream_certificate"))
    return SitePlan(
        name=site["name"],
        variable=site["name"].replace("-", "_"),
        names=[bracketed(domain) for domain in domains],
        own_names=[bracketed(domain) for domain in domains if domain not in redirects],
        redirect_names=redirects,
        redirect_to=next((domain for domain in domains if domain not in redirects), ""),
        is_placeholder=mode_of(dict(site), settings["nginx_certificate"]) == "self-signed",
        maintenance=maintenance.get(site["name"], {}),
        counted=headers if counts else [],
        zones=[
            f"$fastapi_{limit['variable']} zone=fastapi_{limit['zone']}:10m rate={limit['rate']}" for limit in limits
        ],
        credentials="".join([*CREDENTIALS, *(f"$http_{header}" for header in headers)]) if caches else "",
        upstream=upstream(site),
        scheme="https" if secure else "http",
        verifies_servers=secure,
        is_closed=bool(site.get("password") or site.get("allow")),
        allow=list(site.get("allow", [])),
        asks_password=bool(site.get("password")),
        static=[static_plan(entry, found) for entry in site.get("static", [])],
        routes=[route_plan(site, route, settings) for route in found],
        extra_config=str(site.get("extra_config", "")).strip(),
    )


def static_plan(entry: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> StaticPlan:
    """Files of this release, else of one before, for a page that a browser has open; or all from one folder."""
    url, folder, former = entry["url"], entry["folder"], entry.get("former", "")
    fallback = str(entry.get("fallback") or "")
    folder = folder.rstrip("/")
    root = os.path.commonpath([folder, former]) if former else folder
    tries = [f"/{os.path.relpath(each, root)}$uri" for each in (folder, former)] if former else []
    return StaticPlan(
        url=url,
        place="/" if url == "/" else f"^~ {url}",
        folder=folder,
        fallback=fallback,
        last=f"@fastapi_page{url}" if fallback else "=404",
        pattern=f"^{url.replace('.', '[.]')}(.*)$",
        root=root,
        tries=tries or (["$uri"] if fallback else []),
        alias=f"{folder}/",
        answers=answers(entry),
        body_size=next((route["body_size"] for route in found if route["path"] == url == "/"), ""),
    )


def answers(entry: Mapping[str, Any]) -> list[str]:
    """What goes with a file. Of what people have uploaded, no link leads out."""
    untrusted, immutable = entry.get("untrusted_below", ""), entry.get("immutable", False)
    headers = [
        *([f'Content-Security-Policy "{POWERLESS}" always'] if untrusted else []),
        *(['Cache-Control "public, max-age=31536000, immutable"'] if immutable else []),
    ]
    return [
        *([f"disable_symlinks on from={untrusted}"] if untrusted else []),
        *(["include production.fastapi/headers.conf"] if headers else []),
        *(f"add_header {header}" for header in headers),
        *([] if immutable else [f"expires {entry.get('expires', KEPT_FOR)}"]),
        f"gzip_static {'off' if untrusted else 'on'}",
    ]


def route_plan(site: Site, route: Mapping[str, Any], settings: Settings) -> RoutePlan:
    """A route; the worker is told how long Nginx waits, unless a text of the user says something else."""
    extra, proxy_extra = (str(site.get(name, "")) for name in ("extra_config", "proxy_extra_config"))
    waits_otherwise = OWN_TIMEOUT in extra + proxy_extra
    front_ends = [entry for entry in site.get("static", []) if entry["url"] == route["path"] == "/"]
    pages = [f"/{entry.get('fallback')}" for entry in front_ends]
    return RoutePlan(
        path=route["path"],
        places=["@fastapi_app", "@fastapi_app_or_page"] if pages else [route["path"]],
        page=pages[0] if pages else "",
        answer_within="''" if waits_otherwise else f"{route['read_timeout'] or settings['nginx_proxy_read_timeout']:g}",
        limits=limit_directives(route, settings),
        body_size=route["body_size"],
        read_timeout=route["read_timeout"],
        stream=route["stream"],
        cache=route["cache"],
        immutable=route["immutable"],
        extra_config=proxy_extra.strip() if route["path"] == "/" else "",
    )


def limit_directives(route: Mapping[str, Any], settings: Settings) -> list[str]:
    """Whom a location makes wait, and what a client is told then; one of its own takes the place of that of all."""
    if settings["nginx_rate_limit_mode"] == "disabled":
        return []
    connections = settings["nginx_connections_per_client"]
    found = [f"limit_conn fastapi_connections {connections}"] if connections else []
    limits: Sequence[Mapping[str, Any]] = route["limits"]
    if ADDRESS not in [limit["key"] for limit in limits]:
        found.append(f"limit_req zone=fastapi_clients{burst(settings['nginx_rate_limit_burst'])} nodelay")
    for limit in limits:
        at_once = "" if limit["delay"] else " nodelay"
        found.append(f"limit_req zone=fastapi_{limit['zone']}{burst(limit['burst'])}{at_once}")
    if route["retry_after"] > 1:
        found.append(f"set $fastapi_retry_seconds {route['retry_after']}")
    return found


def burst(requests: int) -> str:
    """How many may come at once, as `limit_req` takes it; Nginx refuses one of nothing."""
    return f" burst={requests}" if requests else ""
