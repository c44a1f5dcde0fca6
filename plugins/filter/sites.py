# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sites of a load balancer: derived from the inventory, and checked before anything changes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sites
short_description: Derive the sites of a load balancer from the inventory
description:
  - One site for each C(app_name) of the group C(app_servers), with one server for each member.
  - The result is what the variable C(nginx_sites) of the role P(production.fastapi.nginx#role) takes.
  - A member on the load balancer's own machine (the same C(ansible_host) and C(ansible_port), or the same name) is
    reached by its Unix socket, any other by the address and port in its C(gunicorn_bind).
  - Static files are served by Nginx where the app is on the same machine, and by the app itself elsewhere.
  - A member whose C(app_weight) or C(app_backup) says so gets more of the requests, or only those that no other
    takes.
  - An app whose C(app_public) is false has no site; other apps reach it where its C(gunicorn_bind) says.
  - A member without C(gunicorn_bind) whose machine is a load balancer itself belongs to that load balancer alone, so
    several complete servers in both groups each serve themselves.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars, load_balancer
options:
  _input:
    description: The groups of the inventory.
    type: dict
    required: true
  hostvars:
    description:
      - The variables of all hosts. Of the members of C(app_servers) these are read -
        C(app_name), C(app_public), C(app_domains), C(app_source), C(app_static), C(app_site), C(gunicorn_bind),
        C(private_address), C(app_weight), C(app_backup).
    type: dict
    required: true
  load_balancer:
    description: Inventory name of the load balancer.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the sites of this load balancer
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.sites(hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The sites, in the order of the inventory, each with C(name), C(domains), C(servers) and C(static).
  type: list
  elements: dict
  sample:
    - name: shop
      domains: [shop.example.com]
      servers: ["unix:/run/shop/http.sock"]
      static: [{url: /static/, folder: /srv/shop/public/current/shop/static}]
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.production.fastapi.plugins.filter.drained import drained
from ansible_collections.production.fastapi.plugins.filter.upstream import address_of as server_address
from ansible_collections.production.fastapi.plugins.filter.upstream import balance_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import duration

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
        members.setdefault(hostvars[host].get("app_name", "app"), []).append(host)
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


def server_of(app: str, host: str, hostvars: Mapping[str, Any], load_balancer: str) -> str:
    """The address of a member as Nginx writes it."""
    bind = str(hostvars[host].get("gunicorn_bind", "") or f"unix:/run/{app}/http.sock")
    address, _unused, port = bind.rpartition(":")
    is_port = address != "" and port.isdigit()
    if machine(load_balancer, hostvars) == machine(host, hostvars):
        return f"{loopback(address)}:{port}" if is_port and is_wildcard(address) else bind
    if is_port and is_wildcard(address):
        address = bracketed(private_address(host, hostvars))
    if not is_port or not is_remote(address):
        raise AnsibleFilterError(
            f"{load_balancer} cannot reach the app {app} on {host} at {bind}; set gunicorn_bind of {host} to the "
            "address and port at which the load balancer reaches it, such as 10.0.0.5:8000."
        )
    return f"{address}:{port}"


def machine(host: str, hostvars: Mapping[str, Any]) -> tuple[str, str]:
    """What tells machines apart: two inventory names may be one machine, two ports of one address may be two."""
    variables = hostvars[host]
    if variables.get("ansible_connection") == "local":
        return "local", ""
    return str(variables.get("ansible_host", host)), str(variables.get("ansible_port", 22))


def private_address(host: str, hostvars: Mapping[str, Any]) -> str:
    """Where the other hosts of the inventory reach a host: its `private_address`, else where Ansible does."""
    variables = hostvars[host]
    return str(variables.get("private_address") or variables.get("ansible_host", host))


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address in the text, with or without the brackets of IPv6; None if it is none."""
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def bracketed(text: str) -> str:
    """An IPv6 address in brackets, anything else as it is."""
    return f"[{text}]" if ":" in text and not text.startswith("[") else text


def is_wildcard(text: str) -> bool:
    """Whether the address means every address of the host."""
    address = address_of(text)
    return address is not None and address.is_unspecified


def is_remote(text: str) -> bool:
    """Whether another machine can reach the address."""
    address = address_of(text)
    return address is not None and not address.is_unspecified and not address.is_loopback


def loopback(text: str) -> str:
    """The loopback address of the same family as a wildcard address."""
    return "[::1]" if ":" in text else "127.0.0.1"


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
    address = None if text.startswith("[") else address_of(text)
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
    is_address = address_of(address) is not None and bracketed(address) == address
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


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"sites": sites, "site_problems": site_problems, "static_folders": static_folders}
