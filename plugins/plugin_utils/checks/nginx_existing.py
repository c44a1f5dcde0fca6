# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why sites that are there already and ours cannot be served by the same Nginx, with the file and the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._nginx.existing import MAIN
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx_plan import (
    EVERY_IPV4,
    EVERY_IPV6,
    HTTP,
    TLS,
    Choices,
    listens,
    servers,
)

DROP = "nginx_existing_sites: drop"
# Where a line of theirs in nginx.conf can go, by its context.
INSTEAD = {
    "main": "write it in nginx_main_extra_config",
    "events": "set nginx_worker_connections",
    "http": "move it to a file in /etc/nginx/conf.d",
}
PREFIX = "fastapi_"
# The directives of nginx.conf in Debian 12, 13 and Ubuntu 24.04, from `main`, `events` and `http`.
PACKAGE = frozenset(
    {
        "user www-data",
        "worker_processes auto",
        "worker_cpu_affinity auto",
        "pid /run/nginx.pid",
        "error_log /var/log/nginx/error.log",
        "sendfile on",
        "tcp_nopush on",
        "types_hash_max_size 2048",
        "server_tokens off",
        "default_type application/octet-stream",
        "ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3",
        "ssl_protocols TLSv1.2 TLSv1.3",
        "ssl_prefer_server_ciphers on",
        "ssl_prefer_server_ciphers off",
        "access_log /var/log/nginx/access.log",
        "gzip on",
        "worker_connections 768",
        "include /etc/nginx/modules-enabled/*.conf",
        "include /etc/nginx/mime.types",
        "include /etc/nginx/conf.d/*.conf",
        "include /etc/nginx/sites-enabled/*",
    }
)
# What our servers would take over from `http`, to the harm of the app or its clients, and the value that does nothing.
INHERITED = {
    "add_after_body": "",
    "add_before_body": "",
    "auth_basic": "off",
    "auth_request": "off",
    "autoindex": "off",
    "dav_methods": "off",
    "deny": "",
    "expires": "off",
    "limit_conn": "",
    "limit_rate": "0",
    "limit_req": "",
    "merge_slashes": "on",
    "mirror": "off",
    "proxy_bind": "off",
    "proxy_cache": "off",
    "proxy_cache_methods": "GET HEAD",
    "proxy_cookie_domain": "off",
    "proxy_cookie_flags": "off",
    "proxy_cookie_path": "off",
    "proxy_hide_header": "",
    "proxy_intercept_errors": "off",
    "proxy_limit_rate": "0",
    "proxy_method": "",
    "proxy_pass_request_body": "on",
    "proxy_pass_request_headers": "on",
    "proxy_redirect": "off",
    "proxy_set_body": "",
    "proxy_store": "off",
    "satisfy": "all",
    "ssi": "off",
    "ssl_early_data": "off",
    "ssl_verify_client": "off",
    "sub_filter": "",
    "userid": "off",
}
# Whom Nginx believes about the address of a client; with nginx_trusted_proxies our servers have their own list.
TRUST = "set_real_ip_from"

Existing = Mapping[str, Any]


def existing_problems(existing: Existing, sites: Iterable[Mapping[str, Any]], choices: Choices) -> list[str]:
    """A sentence for each; none when sites of others are not to be kept, or there is no Nginx yet."""
    if not choices.keep or not existing.get("main"):
        return []
    others = servers(existing)
    return [
        *main_problems(existing),
        *(
            f"{_place(file)}: Nginx cannot read this; correct the file, or move it out of the folder."
            for file in existing["unreadable"]
            if file["file"] != MAIN
        ),
        *name_problems(others, sites),
        *listen_problems(others, choices),
        *setting_problems(existing, choices),
    ]


def main_problems(existing: Existing) -> Iterator[str]:
    """Whether nginx.conf is the file of the package."""
    if existing["main_is_package"]:
        users = [entry for entry in existing["settings"] if entry["name"] == "user" and entry["file"] == MAIN]
        for entry in users:
            if entry["arguments"][:1] != ["www-data"]:
                yield (
                    f"{_place(entry)}: Nginx runs as {' '.join(entry['arguments'])}, and the sockets of apps are for "
                    f"www-data; write user www-data, or set {DROP}."
                )
        return
    for entry in existing["settings"]:
        words = " ".join([entry["name"], *entry["arguments"]])
        if entry["file"] == MAIN and words not in PACKAGE:
            yield _changed(_place(entry), f"`{words}`", entry["context"])
            return
    for file in [*existing["unreadable"], *existing["servers"]]:
        if file["file"] == MAIN:
            yield _changed(_place(file), "this", "http")
            return


def _changed(place: str, what: str, context: str) -> str:
    return (
        f"{place}: {what} is not in the package's nginx.conf, which must be unchanged; {INSTEAD[context]}, or set "
        f"{DROP}, which serves only our sites."
    )


def name_problems(others: Iterable[Mapping[str, Any]], sites: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Names that a site of theirs has as well, so that Nginx would give one of both no request."""
    # What is not a list has a sentence of its own.
    listed = [(site, site["domains"]) for site in sites if isinstance(site.get("domains"), list)]
    ours = {name: site for site, domains in listed for domain in domains for name in _spelled(str(domain).lower())}
    for server in others:
        if server["context"] != "http" or not any(listen["port"] in (HTTP, TLS) for listen in server["listens"]):
            continue
        for name in dict.fromkeys(name for given in server["names"] for name in _spelled(given)):
            if name in ours:
                yield (
                    f"{_place(server)}: {name} is a domain of the site {ours[name]['name']} (nginx_sites, app_domains) "
                    f"as well; remove it from one of them, or set {DROP}."
                )


def listen_problems(others: list[Mapping[str, Any]], choices: Choices) -> Iterator[str]:
    """Ports that we cannot share the way they are used."""
    for server in others:
        for listen in server["listens"] if server["context"] == "stream" else ():
            if listen["port"] in (HTTP, TLS):
                yield f"{_place(listen)}: a stream has port {listen['port']}, which sites need; give it another one."
    for port in (HTTP, TLS):
        there = listens(others, port)
        for listen in there:
            if listen["ssl"] != (port == TLS):
                speaks = "TLS" if listen["ssl"] else "no TLS"
                yield (
                    f"{_place(listen)}: port {port} speaks {speaks} there, and all sites share it; use another port, "
                    f"or set {DROP}."
                )
            if listen["proxy_protocol"] != choices.proxy_protocol:
                beside, ours = ("uses", "does not") if listen["proxy_protocol"] else ("does not use", "does")
                yield (
                    f"{_place(listen)}: port {port} {beside} the PROXY protocol there, and "
                    f"nginx_trusted_proxies_header {ours}; both must agree, since all sites share the port."
                )
        yield from _narrow(there, port, choices)


def _narrow(there: list[Mapping[str, Any]], port: int, choices: Choices) -> Iterator[str]:
    """Single addresses without the rest: Nginx can only get at the rest by a restart, and ours need all of them."""
    families = ((EVERY_IPV4, False), (EVERY_IPV6, True)) if choices.ipv6 else ((EVERY_IPV4, False),)
    for every, ipv6 in families:
        family = [listen for listen in there if listen["address"].startswith("[") == ipv6]
        if family and not any(listen["address"] == every for listen in family):
            wanted = f"{every}:{port}" if every else str(port)
            yield (
                f"{_place(family[0])}: Nginx listens on {family[0]['address']} alone, and cannot add the other "
                f"addresses of port {port} while it runs; add `listen {wanted};` there, restart Nginx, and run this "
                "again."
            )


def setting_problems(existing: Existing, choices: Choices) -> Iterator[str]:
    """Settings of `http` that would hold for our servers too, and names that are ours."""
    for entry in existing["settings"]:
        if entry["context"] == "http" and entry["file"] != MAIN:
            harms = entry["name"] in INHERITED and " ".join(entry["arguments"]) != INHERITED[entry["name"]]
            if harms or (entry["name"] == TRUST and not choices.trusts_proxies):
                instead = ", or set nginx_trusted_proxies for ours" if entry["name"] == TRUST else ""
                yield (
                    f"{_place(entry)}: {entry['name']} would apply to our sites as well; move it into the server "
                    f"blocks that need it{instead}."
                )
        words = [word for word in entry["arguments"] if any(f"{mark}{PREFIX}" in f"={word}" for mark in "$=:")]
        if words and entry["name"] not in ("access_log", "if"):
            yield f"{_place(entry)}: {words[0]}: names that begin with {PREFIX} are the role's own; choose another one."


def _spelled(name: str) -> list[str]:
    """The names that one in `server_name` stands for."""
    return [name[1:], f"*{name}"] if name.startswith(".") else [name.strip("[]")]


def _place(entry: Mapping[str, Any]) -> str:
    return f"{entry['file']}, line {entry['line']}"
