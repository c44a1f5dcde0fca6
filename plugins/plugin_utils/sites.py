# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sites of a load balancer, derived from the inventory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import bare_address, duration
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import (
    app_of,
    bracketed,
    drained,
    machine,
    server_of,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.upstream import balance_problems, server_address

GROUP = "app_servers"
BALANCERS = "load_balancers"
SAMPLE_STATIC = [{"url": "/static/", "folder": "shop/static"}]
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = re.compile(rf"(\*\.)?({LABEL}\.)+(?=[a-z0-9-]*[a-z]){LABEL}", re.IGNORECASE)
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
URL = re.compile(r"/([\w.~-]+/)+", re.ASCII)
FOLDER = re.compile(r"/[^\s;{}\"'$\\]*")


def sites(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any], load_balancer: str) -> list[dict[str, Any]]:
    """One site for each public app of the group app_servers.

    None where there is no such group. Raises AnsibleFilterError when members of one app disagree, or one has no usable
    address.
    """
    if not groups.get(GROUP):
        return []  # the argument spec asks for this default even where nginx_sites is set
    members: dict[str, list[str]] = {}
    for host in groups[GROUP]:
        members.setdefault(app_of(host, hostvars), []).append(host)
    here = machine(load_balancer, hostvars)
    others = {machine(host, hostvars) for host in groups.get(BALANCERS, [])} - {here}
    for app, hosts in list(members.items()):
        private = {host for host in hosts if not hostvars[host].get("gunicorn_bind")}
        members[app] = [host for host in hosts if host not in private or machine(host, hostvars) not in others]
    return [
        site_of(app, hosts, hostvars, load_balancer, drained(groups, hostvars))
        for app, hosts in members.items()
        if hosts and is_public(app, hosts, hostvars)
    ]


def is_public(app: str, hosts: list[str], hostvars: Mapping[str, Any]) -> bool:
    """Whether Nginx is to serve an app."""
    value = common(app, hosts, hostvars, "app_public")
    return value is None or bool(boolean(value))


def site_of(
    app: str, hosts: list[str], hostvars: Mapping[str, Any], load_balancer: str, away: list[str]
) -> dict[str, Any]:
    """The site of one app, of whose members those in `away` are drained."""
    static = common(app, hosts, hostvars, "app_static")
    if static is None:
        static = [] if common(app, hosts, hostvars, "app_source") else SAMPLE_STATIC
    if machine(load_balancer, hostvars) not in {machine(host, hostvars) for host in hosts}:
        static = []  # the files are on other machines, so the app serves them itself
    domains = common(app, hosts, hostvars, "app_domains") or []
    certificate = common(app, hosts, hostvars, "gunicorn_tls_certificate")
    return {
        "name": app,
        "domains": [domains] if isinstance(domains, str) else domains,
        "servers": [member_of(app, host, hostvars, load_balancer, host in away) for host in hosts],
        "static": [static_of(app, entry) for entry in static],
        **({"upstream_certificate": certificate} if certificate else {}),
        **(common(app, hosts, hostvars, "app_site") or {}),
    }


def static_of(app: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of app_static with the folder that it has on the load balancer."""
    folder = str(entry.get("folder", "")).strip("/")
    if not folder or "url" not in entry:
        raise AnsibleFilterError(
            f"app_static of the app {app} needs a url and a folder in every entry, the folder relative to the source, "
            "such as {url: /static/, folder: shop/static}."
        )
    return {**entry, "folder": f"/srv/{app}/public/current/{folder}"}


def static_folders(static: list[dict[str, Any]] | None, source: Mapping[str, Any]) -> list[str]:
    """The folders of app_static in the source; without it, those of the sample where there is no app_source."""
    entries = static if static is not None else [] if source else SAMPLE_STATIC
    return [str(entry.get("folder", "")).strip("/") for entry in entries if entry.get("folder")]


def common(app: str, hosts: list[str], hostvars: Mapping[str, Any], variable: str) -> Any:
    """The value that the members of an app agree on, None when none has it; raises AnsibleFilterError on two values."""
    values = [(host, hostvars[host][variable]) for host in hosts if variable in hostvars[host]]
    for host, value in values[1:]:
        if value != values[0][1]:
            raise AnsibleFilterError(
                f"{variable} of {host} differs from {variable} of {values[0][0]}, but both run the app {app}; "
                f"write it once, in the variables of the group {GROUP} or of a group of this app."
            )
    return values[0][1] if values else None


def member_of(
    app: str, host: str, hostvars: Mapping[str, Any], load_balancer: str, is_drained: bool
) -> str | dict[str, Any]:
    """A member as an entry of `servers`: its address, or a dictionary where there is more to say of it."""
    address, variables = server_of(app, host, hostvars, load_balancer), hostvars[host]
    said: dict[str, Any] = {}
    if variables.get("app_weight", 1) != 1:
        said["weight"] = variables["app_weight"]
    if boolean(variables.get("app_backup", False)):
        said["backup"] = True
    if is_drained:
        said["drained"] = True
    return {"address": address, **said} if said else address


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
                problems.append(f"Site {site['name']}: the site {owner} has the domain {domain} too; keep it in one.")
    return problems


def problems_of_site(site: dict[str, Any]) -> list[str]:
    """What is wrong with one site taken alone."""
    problems = []
    if not NAME.fullmatch(str(site["name"])):
        problems.append("its name (app_name) must be lower-case letters, digits, - and _, beginning with a letter.")
    for key, example in (("domains", "[shop.example.com]"), ("servers", '["unix:/run/shop/http.sock"]')):
        if isinstance(site[key], str) or not site[key]:
            problems.append(f"its {key} must be a list with at least one entry, such as {example}.")
    if not isinstance(site["domains"], str):
        problems += filter(None, map(domain_problem, site["domains"]))
    if not isinstance(site["servers"], str):
        problems += filter(None, map(server_problem, site["servers"]))
    problems += balance_problems(site)
    static = site.get("static") or []
    urls = Counter(entry["url"] for entry in static)
    problems += [f"static has the url {url} {count} times; keep one." for url, count in urls.items() if count > 1]
    return problems + [problem for entry in static for problem in static_problems(entry)]


def domain_problem(domain: Any) -> str:
    """What is wrong with a domain, or an empty string."""
    text = str(domain)
    address = None if text.startswith("[") else bare_address(text)
    if address is not None:
        return "" if str(address) == text else f"write the address {text} in its short form, {address}."
    if text == "localhost" or (len(text) <= 253 and DOMAIN.fullmatch(text)):
        return ""
    return (
        f"{text!r} in its domains (app_domains) is not a domain; write a name such as shop.example.com, *.example.com "
        "(other alphabets in punycode) or localhost, or an IP address, without scheme, port or path."
    )


def server_problem(server: Any) -> str:
    """What is wrong with the address of a server, or an empty string."""
    text = server_address(server)
    if re.fullmatch(r"unix:/[^\s;{}:$\"']+", text):
        return ""
    address, _unused, port = text.rpartition(":")
    is_address = bare_address(address) is not None and bracketed(address) == address
    if is_address and port.isdigit() and 1 <= int(port) <= 65535:
        return ""
    return (
        f"{text!r} in its servers (gunicorn_bind) is no address; write unix:/run/shop/http.sock, 10.0.0.5:8000 or "
        "[2001:db8::5]:8000 (no host name, because Nginx does not start while one fails to resolve)."
    )


def static_problems(entry: dict[str, Any]) -> list[str]:
    """What is wrong with a static location."""
    url, folder, expires = str(entry["url"]), str(entry["folder"]), str(entry.get("expires", "30d"))
    problems = []
    if not URL.fullmatch(url) or {".", ".."} & set(url.split("/")):
        problems.append(f"the url {url!r} of static files must be a path with / at both ends, such as /static/.")
    if not FOLDER.fullmatch(folder) or ".." in folder.split("/"):
        problems.append(
            f"the folder {folder!r} of static files must be a plain absolute path, such as /srv/www/static."
        )
    if expires not in ("max", "epoch") and duration(expires) is None:
        problems.append(f"expires {expires!r} is no time that Nginx knows; write one such as 30d, 12h or max.")
    return problems
