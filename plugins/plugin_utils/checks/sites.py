# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the sites of a load balancer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values
from ansible_collections.production.fastapi.plugins.plugin_utils.upstream import (
    STRATEGIES,
    WITHOUT_BACKUP,
    server_address,
)

HIGHEST = 10**9


def site_problems(entries: list[dict[str, Any]]) -> list[str]:
    """What is wrong with `nginx_sites`, one sentence each; an empty list when Nginx can serve them."""
    names = Counter(str(site["name"]) for site in entries)
    problems = [
        f"nginx_sites has {n} sites named {name}; give each its own name." for name, n in names.items() if n > 1
    ]
    owners: dict[str, str] = {}
    for site in entries:
        problems += [f"Site {site['name']}: {problem}" for problem in problems_of_site(site)]
        for domain in site["domains"]:
            owner = owners.setdefault(str(domain).lower(), site["name"])
            if owner != site["name"]:
                problems.append(
                    f"Site {site['name']}: the site {owner} has the domain {domain} too; remove it from one of the two."
                )
    return problems


def problems_of_site(site: dict[str, Any]) -> list[str]:
    """What is wrong with one site taken alone."""
    problems = []
    if values.site_name(str(site["name"])) is None:
        problems.append("its name (app_name) must be lower-case letters, digits, - and _, beginning with a letter.")
    for key, example in (("domains", "[shop.example.com]"), ("servers", '["unix:/run/shop/http.sock"]')):
        if isinstance(site[key], str) or not site[key]:
            problems.append(f"its {key} must be a list with at least one entry, such as {example}.")
    if not isinstance(site["domains"], str):
        problems += filter(None, map(domain_problem, site["domains"]))
    if not isinstance(site["servers"], str):
        problems += filter(None, map(server_problem, site["servers"]))
    problems += balance_problems(site)
    problems += redirect_problems(site)
    problems += access_problems(site)
    static = site.get("static") or []
    urls = Counter(entry["url"] for entry in static)
    problems += [f"static has the url {url} {count} times; keep one." for url, count in urls.items() if count > 1]
    return problems + [problem for entry in static for problem in static_problems(entry)]


def redirect_problems(site: Mapping[str, Any]) -> list[str]:
    """What is wrong with the domains of a site that lead to its first one."""
    redirected = list(map(str, site.get("redirect_domains") or []))
    served = [str(domain) for domain in site["domains"] if str(domain) not in redirected]
    if unknown := [domain for domain in redirected if domain not in map(str, site["domains"])]:
        return [f"its redirect_domains have {', '.join(unknown)}, which its domains do not have; write it in both."]
    if redirected and (not served or served[0].startswith("*.")):
        return [
            f"{redirected[0]} (app_redirect_domains) needs a domain to lead to; write one first in app_domains that is "
            "neither a wildcard nor redirected itself."
        ]
    return []


def access_problems(site: Mapping[str, Any]) -> list[str]:
    """What is wrong with who may see a site."""
    problems = []
    allowed = site.get("allow")
    if allowed is not None and (isinstance(allowed, str) or not allowed):
        problems.append("its allow must be a list with at least one address or network, such as [203.0.113.0/24].")
    elif wrong := [str(each) for each in allowed or [] if values.network(each) is None]:
        problems.append(f"its allow has {', '.join(wrong)}; write addresses or networks, such as 203.0.113.0/24.")
    if "password" in site and not str(site["password"] or ""):
        problems.append("its password is empty; write one, or leave it out.")
    return problems


def domain_problem(domain: Any) -> str:
    """What is wrong with a domain, or an empty string."""
    text = str(domain)
    address = None if text.startswith("[") else values.bare_address(text)
    if address is not None:
        return "" if str(address) == text else f"write the address {text} in its short form, {address}."
    if isinstance(domain, str) and values.domain(text) is not None:
        return ""
    return (
        f"{text!r} in its domains (app_domains) is not a domain; write a name such as shop.example.com, *.example.com "
        "(other alphabets in punycode) or intranet, or an IP address, without scheme, port or path."
    )


def server_problem(server: Any) -> str:
    """What is wrong with the address of a server, or an empty string."""
    text = server_address(server)
    if values.socket(text) is not None or values.endpoint(text) is not None:
        return ""
    return (
        f"{text!r} in its servers (gunicorn_bind) is not an address; write unix:/run/shop/http.sock, 10.0.0.5:8000 or "
        "[2001:db8::5]:8000 (no host name, because Nginx does not start while one fails to resolve)."
    )


def static_problems(entry: dict[str, Any]) -> list[str]:
    """What is wrong with a static location."""
    url, folder, expires = str(entry["url"]), str(entry["folder"]), str(entry.get("expires", "30d"))
    fallback = str(entry.get("fallback") or "")
    problems = []
    if url == "/" and not fallback:
        problems.append("the url / of static files needs the page of the front end; write fallback: index.html.")
    elif url != "/" and (values.plain_path(url.removesuffix("/")) is None or not url.endswith("/")):
        problems.append(f"the url {url!r} of static files must be a path with / at both ends, such as /static/.")
    if values.path(folder) is None or set(folder) & set(";{}$"):
        problems.append(
            f"the folder {folder!r} of static files must be a plain absolute path, such as /srv/www/static."
        )
    if fallback and (values.plain_path(f"/{fallback}") is None or fallback.endswith("/")):
        problems.append(f"the fallback {fallback!r} of {url} must be a file in its folder, such as index.html.")
    if fallback and "untrusted_below" in entry:
        problems.append(f"{url} is what the app saves (shared), so it has no fallback; take that out.")
    _root, *parts = PurePosixPath(folder).parts or ("",)
    if parts[:1] == ["srv"] and parts[2:3] == ["shared"] and "untrusted_below" not in entry:
        problems.append(
            f"Nginx cannot read the folder {folder}; write app_static: [{{url: {url}, shared:"
            f" {'/'.join(parts[3:]) or 'uploads'}}}] instead of it."
        )
    if expires not in ("max", "epoch") and values.duration(expires) is None:
        problems.append(f"expires {expires!r} is not a time; write one such as 30d, 12h or max.")
    return problems


def balance_problems(site: Mapping[str, Any]) -> list[str]:
    """What is wrong with the way a site is balanced, one sentence each."""
    problems = []
    balance, key = str(site.get("balance", "round_robin")), str(site.get("balance_key", ""))
    if balance not in STRATEGIES:
        problems.append(f"its balance is {balance!r}; write one of {', '.join(STRATEGIES)}.")
    if balance == "hash" and values.hash_key(key) is None:
        problems.append(f"its balance_key is {key!r}; write what the hash is of, such as $cookie_session.")
    if balance != "hash" and key:
        problems.append(f"it has a balance_key, which only balance hash uses, and not {balance}; take one of them out.")
    problems += [
        f"its {name} is {site[name]!r}; write a whole number from {lowest}."
        for name, lowest in (("max_fails", 0), ("fail_timeout", 1))
        if name in site and values.number(site[name], lowest, HIGHEST) is None
    ]
    servers = [] if isinstance(site["servers"], str) else site["servers"]
    described = [server for server in servers if isinstance(server, Mapping)]
    problems += [
        f"the weight (app_weight) of {server_address(server)} is {server['weight']!r}; write a whole number from 1."
        for server in described
        if "weight" in server and values.number(server["weight"], 1, HIGHEST) is None
    ]
    backups = [server for server in described if server.get("backup")]
    if backups and balance in WITHOUT_BACKUP:
        problems.append(
            f"{server_address(backups[0])} is a backup (app_backup), which Nginx refuses with balance {balance}; "
            "use round_robin or least_conn, or remove the backup."
        )
    if servers and len(backups) == len(servers):
        problems.append("all of its servers are backups (app_backup); make at least one a regular server.")
    return problems
