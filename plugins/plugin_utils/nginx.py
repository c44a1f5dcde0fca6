# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role nginx works out from its settings and the inventory: certificates, and the other load balancers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.certificates import certificates, given_files
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.inventories import other_sites
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import network, number
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import addresses

# The defaults of the role gunicorn, in seconds.
GUNICORN = {"gunicorn_drain_timeout": 3, "gunicorn_keepalive": 75, "gunicorn_timeout": 120}
NO_LIMIT = 86400
# Of one site, by its name; the other files of the transaction are for all sites.
FILES = (
    "/etc/nginx/*sites/{}.conf",
    "/etc/nginx/*upstreams/{}.pem",
    "/etc/nginx/*passwords/{}",
    "/etc/ssl/sites/{}/given/*",
)


def derived(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What tasks and templates read besides the settings."""
    sites, mode = settings["nginx_sites"], settings["nginx_certificate"]
    inventory = str(view.facts.get("inventory", ""))
    others = other_sites(view.facts.get("sites", {}), inventory, sites)
    return {
        "certificates": certificates(sites, mode),
        "challenge_peers": challenge_peers(settings, view),
        "given_chains": given_files(sites, mode, "chain"),
        "given_keys": given_files(sites, mode, "key"),
        "live_certificates": [f"/etc/ssl/sites/{site['name']}/live" for site in sites],
        "names": [{"name": site["name"], "domains": site["domains"]} for site in [*sites, *others]],
        "other_files": files_of_sites(others),
        "remembered": remembered(certificates(sites, mode), inventory, others),
        "packages": packages(settings),
        "sites_over_tls": [
            {"name": site["name"], "upstream_certificate": site["upstream_certificate"]}
            for site in sites
            if site.get("upstream_certificate")
        ],
    }


def remembered(sites: Sequence[Mapping[str, Any]], inventory: str, others: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Our sites with the inventory that they come from, and those of others as they are, by name."""
    return sorted([*({**site, "inventory": inventory} for site in sites), *others], key=lambda site: str(site["name"]))


def files_of_sites(sites: Iterable[Mapping[str, Any]]) -> list[str]:
    """The files that the role has written for these sites alone, as patterns."""
    return [pattern.format(site["name"]) for site in sites for pattern in FILES]


def packages(settings: Mapping[str, Any]) -> list[str]:
    """The packages of Debian that it takes; the rule for Nginx's logs is there with Nginx, and logrotate is not."""
    found = ["nginx", "openssl", "logrotate"]
    if uses_authority(settings):
        plugin = settings["nginx_acme_dns"]
        found += ["certbot", *([f"python3-certbot-dns-{plugin}"] if plugin else [])]
    return found + (["prometheus-nginx-exporter"] if settings["nginx_exporter"] else [])


def uses_authority(settings: Mapping[str, Any]) -> bool:
    """Whether the certificate of a site is issued by an authority."""
    found = certificates(settings["nginx_sites"], settings["nginx_certificate"])
    return "letsencrypt" in [entry["mode"] for entry in found]


def speaks_proxy_protocol(settings: Mapping[str, Any]) -> bool:
    """Whether all connections begin with the PROXY protocol."""
    return bool(settings["nginx_trusted_proxies"]) and settings["nginx_trusted_proxies_header"] == "proxy_protocol"


def challenge_peers(settings: Mapping[str, Any], view: View) -> list[str]:
    """The other load balancers that an authority may ask.

    As far as the inventory has addresses for them: Nginx does not start with a name that fails to resolve.
    """
    if not uses_authority(settings):
        return []
    others = addresses(view.groups, view.hostvars, view.host, "load_balancers")
    return [each for each in others if network(each) is not None]


def shortest(name: str, view: View) -> int:
    """The shortest time of the app's side in seconds, wherever in the inventory it is written."""
    servers = view.groups.get("app_servers", [])
    times = [view.hostvars[host].get(name, GUNICORN[name]) for host in servers]
    times.append(view.variables.get(name, NO_LIMIT))
    return min(number(each, 0, NO_LIMIT) or 0 for each in times)
