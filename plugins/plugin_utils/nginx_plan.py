# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How our part of Nginx's configuration fits in with what is served on the host besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._nginx.existing import DEFAULT_SITE
from ansible_collections.production.fastapi.plugins.module_utils._nginx.syntax import Directive, NginxSyntaxError, parse

HTTP, TLS = 80, 443
# Programs of others that read Debian's log find nothing but the lines of before.
LOG, SEPARATE_LOG = "/var/log/nginx/access.log", "/var/log/nginx/production.fastapi.log"
EVERY_IPV4, EVERY_IPV6 = "", "[::]"
INCLUDES = {"main": "production.fastapi/main.conf", "http": "production.fastapi/http.conf"}
# What only the contexts outside of servers know. None changes an answer, and where theirs are set already, those hold.
HTTP_SETTINGS = {"server_names_hash_bucket_size": "512", "variables_hash_bucket_size": "128"}
# An old worker ends after a reload even when one of its WebSockets never does; those of others last as they did.
MAIN_SETTINGS = {"worker_rlimit_nofile": "", "worker_shutdown_timeout": "1h"}

# In place of the nginx.conf of the host, where that is not kept or not there yet.
OWN = """\
# Written by the role production.fastapi.nginx; nginx_existing_sites is drop, so no sites of others are served.
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include modules-enabled/*.conf;

events {
\tworker_connections 768;
}

http {
\tsendfile on;
\ttcp_nopush on;
\ttypes_hash_max_size 2048;
\tinclude mime.types;
\tdefault_type application/octet-stream;
}
"""
KEPT = (
    "# The file of the package, with two includes and nginx_worker_connections of the role production.fastapi.nginx.\n"
)

Existing = Mapping[str, Any]


@dataclass(frozen=True)
class Choices:
    """What the role was told: `http2_directive` is whether this Nginx knows it."""

    keep: bool = True
    ipv6: bool = True
    http2_directive: bool = True
    proxy_protocol: bool = False
    trusts_proxies: bool = False
    worker_connections: int = 4096
    files_limit: int = 9216


@dataclass
class Plan:
    """What the templates need: directives without semicolons, and what follows `listen`."""

    main: str = ""
    main_settings: list[str] = field(default_factory=list)
    http_settings: list[str] = field(default_factory=list)
    shared: bool = False  # whether others have sites here
    access_log: str = LOG
    default_gives_way: bool = False
    http_doors: list[str] = field(default_factory=list)
    tls_doors: list[str] = field(default_factory=list)
    # Those where nobody else listens, so that we answer for the names that no site has.
    own_http_doors: list[str] = field(default_factory=list)
    own_tls_doors: list[str] = field(default_factory=list)


def plan(existing: Existing, choices: Choices) -> Plan:
    """Decide it all."""
    kept = existing if choices.keep and existing.get("main") else {}
    text = f"{KEPT}{kept['main']}" if kept else OWN
    others = servers(kept)
    made = Plan(
        main=edited(text, choices.worker_connections),
        shared=bool(others),
        access_log=SEPARATE_LOG if others else LOG,
        default_gives_way=default_gives_way(kept),
    )
    known = {setting["name"] for setting in kept.get("settings", ())} | set(_names(parse(text)))
    main_settings = MAIN_SETTINGS | {"worker_rlimit_nofile": str(choices.files_limit)}
    if made.shared:
        del main_settings["worker_shutdown_timeout"]
    made.main_settings = [f"{name} {value}" for name, value in main_settings.items() if name not in known]
    made.http_settings = [f"{name} {value}" for name, value in HTTP_SETTINGS.items() if name not in known]
    for port, doors, own_doors in (
        (HTTP, made.http_doors, made.own_http_doors),
        (TLS, made.tls_doors, made.own_tls_doors),
    ):
        there = listens(others, port)
        for address in addresses(there, ipv6=choices.ipv6):
            beside = [listen for listen in there if listen["address"] == address]
            door = _door(address, port, beside, choices)
            doors.append(door)
            if not beside:
                own_doors.append(door)
    return made


def default_gives_way(existing: Existing) -> bool:
    """Whether the site that the package enables is not served beside ours.

    It answers for names that no site has, so it stays where somebody relies on that: where there is a site of theirs,
    and this one is served with it.
    """
    state = existing.get("default_site")
    theirs = any(server["file"] != DEFAULT_SITE for server in existing.get("servers", ()))
    return state == "ours" or (state == "package" and not (theirs and existing.get("default_site_served")))


def servers(existing: Existing) -> list[Mapping[str, Any]]:
    """The servers that go on being served beside ours."""
    without = DEFAULT_SITE if default_gives_way(existing) else ""
    return [server for server in existing.get("servers", ()) if server["file"] != without]


def listens(others: Sequence[Mapping[str, Any]], port: int) -> list[Mapping[str, Any]]:
    """What servers of the context `http` listen on at a port."""
    return [
        listen
        for server in others
        if server["context"] == "http"
        for listen in server["listens"]
        if listen["port"] == port
    ]


def addresses(there: Sequence[Mapping[str, Any]], *, ipv6: bool) -> list[str]:
    """Where our servers listen at a port: everywhere, and where others do, since Nginx takes the closest address."""
    both = any(listen["dual"] for listen in there)
    every = ([] if both else [EVERY_IPV4]) + ([EVERY_IPV6] if ipv6 or both else [])
    return list(dict.fromkeys([*every, *(listen["address"] for listen in there)]))


def _door(address: str, port: int, beside: Sequence[Mapping[str, Any]], choices: Choices) -> str:
    words = [f"{address}:{port}" if address else str(port)]
    if port == TLS:
        words.append("ssl")
        # Before there was a directive, it held for all servers at the address.
        if not choices.http2_directive and (not beside or any(listen["http2"] for listen in beside)):
            words.append("http2")
    if choices.proxy_protocol:
        words.append("proxy_protocol")
    return " ".join(words)


def edited(text: str, worker_connections: int) -> str:
    """An nginx.conf with our two includes, that of `http` last, and our number of connections.

    Raises ValueError for a file without the blocks `events` and `http`.
    """
    try:
        directives = parse(text)
        events = next(each for each in directives if each.name == "events" and each.block is not None)
        http = next(each for each in directives if each.name == "http" and each.block is not None)
    except (NginxSyntaxError, StopIteration):
        raise ValueError("nginx.conf has no blocks events and http") from None
    connections = f"worker_connections {worker_connections};"
    number = next((each for each in events.block or () if each.name == "worker_connections"), None)
    opening = text.index("{", events.start) + 1
    cuts = [
        (events.start, events.start, f"include {INCLUDES['main']};\n\n"),
        (number.start, number.end, connections) if number else (opening, opening, f"\n\t{connections}"),
        (
            http.end - 1,
            http.end - 1,
            f"\n\t# Last, so that no server of ours comes before another.\n\tinclude {INCLUDES['http']};\n",
        ),
    ]
    for start, end, new in sorted(cuts, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _names(directives: Sequence[Directive]) -> Iterator[str]:
    for directive in directives:
        yield directive.name
        if directive.name == "http":
            yield from _names(directive.block or ())
