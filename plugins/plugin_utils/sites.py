# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sites of a load balancer, derived from the inventory."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.settings import converted
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.shared import is_path
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import (
    app_of,
    drained,
    machine,
    server_of,
)

GROUP = "app_servers"
BALANCERS = "load_balancers"
SAMPLE_STATIC = [{"url": "/static/", "folder": "shop/static"}]


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
    static = static_entries(common(app, hosts, hostvars, "app_static"), common(app, hosts, hostvars, "app_source"))
    site = dict(common(app, hosts, hostvars, "app_site") or {})
    if machine(load_balancer, hostvars) not in {machine(host, hostvars) for host in hosts}:
        refuse_media(app, static, "on other machines than the load balancer")
        site |= kept_by_nginx(static, site)
        static = []  # the files are on other machines, so the app serves them itself
    elif len({machine(host, hostvars) for host in hosts}) > 1:
        refuse_media(app, static, "on several machines")
    domains = listed(common(app, hosts, hostvars, "app_domains"))
    redirected = listed(common(app, hosts, hostvars, "app_redirect_domains"))
    certificate = common(app, hosts, hostvars, "gunicorn_tls_certificate")
    return {
        "name": app,
        "domains": [*domains, *redirected],
        "servers": [member_of(app, host, hostvars, load_balancer, host in away) for host in hosts],
        "static": [static_of(app, entry) for entry in static],
        **({"redirect_domains": redirected} if redirected else {}),
        **({"upstream_certificate": certificate} if certificate else {}),
        **site,
    }


def kept_by_nginx(static: Sequence[Mapping[str, Any]], site: Mapping[str, Any]) -> dict[str, Any]:
    """The routes of a site, and one for each folder whose files outlive their release, which the app serves itself."""
    routes = list(site.get("routes") or [])
    named = {route["path"] for route in routes}
    urls = [str(entry["url"]) for entry in static if "url" in entry and boolean(entry.get("immutable", False))]
    added = [{"path": url, "immutable": True} for url in urls if url not in named]
    return {"routes": [*added, *routes]} if added else {}


def listed(value: Any) -> list[Any]:
    """A list of names, for which people also write one alone, or nothing."""
    return [] if not value else [value] if isinstance(value, str) else list(value)


def refuse_media(app: str, static: Sequence[Mapping[str, Any]], where: str) -> None:
    """Raise AnsibleFilterError when Nginx is to serve what an app saves, but does not have all of it."""
    if media := [entry["shared"] for entry in static if entry.get("shared")]:
        raise AnsibleFilterError(
            f"app_static of the app {app}: {media[0]} of shared is {where}, so Nginx does not have what all save; let "
            "the app serve it, or keep it in an object storage."
        )


def static_of(app: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of app_static with the folder that it has on the load balancer."""
    folder = str(entry.get("folder", "")).strip("/")
    if "shared" in entry:
        path = str(entry["shared"]).removesuffix("/")
        if folder or "url" not in entry or not is_path(path):
            raise AnsibleFilterError(
                f"app_static of the app {app} needs a url and either a folder or a path of shared in every entry, "
                "such as {url: /media/, shared: uploads}."
            )
        others = {key: value for key, value in entry.items() if key != "shared"}
        shared = f"/srv/{app}/shared"
        return {"expires": "1h", **others, "folder": f"{shared}/{path}", "untrusted_below": shared}
    if not folder or "url" not in entry:
        raise AnsibleFilterError(
            f"app_static of the app {app} needs a url and a folder in every entry, the folder relative to the source, "
            "such as {url: /static/, folder: shop/static}."
        )
    former = {"former": f"/srv/{app}/public/kept/{folder}"} if boolean(entry.get("immutable", False)) else {}
    # Names in a folder with such a page do not change with the contents.
    brief = {"expires": "1h"} if entry.get("fallback") else {}
    return {**brief, **entry, "folder": f"/srv/{app}/public/current/{folder}", **former}


def static_entries(static: Any, source: Any) -> Sequence[Mapping[str, Any]]:
    """The entries of app_static, also from its text in an INI inventory; without it, those of the sample.

    An app of its own, which app_source says, has none then. Raises AnsibleFilterError where it is no list of entries.
    """
    if static is None:
        return [] if source else SAMPLE_STATIC
    try:
        entries: list[Any] = converted("list", static)
    except ValueError:
        entries = [None]
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise AnsibleFilterError(
            "app_static has to be a list of entries, such as [{url: /static/, folder: shop/static}]; in an INI "
            'inventory write it as JSON, [{"url": "/static/", "folder": "shop/static"}].'
        )
    return entries


def static_folders(
    static: Any, source: Mapping[str, Any], of: Literal["all", "immutable", "shared"] = "all"
) -> list[str]:
    """The folders of app_static in the source; without it, those of the sample where there is no app_source.

    `of` may be `immutable`, for those of them whose files outlive their release, and `shared`, for the paths of the
    shared folder instead.
    """
    entries = static_entries(static, source)
    if of == "shared":
        return [str(entry["shared"]).removesuffix("/") for entry in entries if entry.get("shared")]
    found = [entry for entry in entries if of == "all" or boolean(entry.get("immutable", False))]
    return [str(entry.get("folder", "")).strip("/") for entry in found if entry.get("folder")]


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


def password_files(entries: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The file of each site with a password, as Nginx reads it; the name of the site is the user's name."""
    return [
        {"name": site["name"], "content": f"{site['name']}:{salted(str(site['password']), site['name'])}\n"}
        for site in entries
        if site.get("password")
    ]


def salted(password: str, name: str) -> str:
    """A password in the scheme SSHA; of a site the same one has the same salt, so that no run changes it."""
    salt = hashlib.sha256(f"{name}\0{password}".encode()).digest()[:8]
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()
