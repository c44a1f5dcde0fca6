# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of the role nginx: what it works out from its settings, the inventory and the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import takewhile
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils import unit_sandbox
from ansible_collections.production.fastapi.plugins.plugin_utils.certificates import certificates, given_files
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View, numbers
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.inventories import other_sites
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import bare_address, network, number
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import addresses, bracketed
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx_plan import Choices, plan
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx_service import (
    GENERATION_ADDRESS,
    exporter_verifiers,
    sandbox,
    validators,
    verifiers,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx_site import site_plan
from ansible_collections.production.fastapi.plugins.plugin_utils.sites import password_files

Version = tuple[int, ...]

DIRECTORIES = {
    "production": "https://acme-v02.api.letsencrypt.org/directory",
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
# What a host without a candidate of apt would get, by the version of Debian or Ubuntu.
VERSIONS = {"12": "1.22.1", "13": "1.26.3", "24.04": "1.24.0", "26.04": "1.28.2"}
HTTP2_DIRECTIVE = (1, 25, 1)
HYBRID_CURVE = (3, 5)  # of OpenSSL
CURVES = ("X25519", "prime256v1", "secp384r1")
# Ports that clients need not write: a browser leaves out 443, and 80 is where the redirect is.
UNWRITTEN_PORTS = (443, 80)
# The defaults of the role gunicorn, in seconds.
GUNICORN = {"gunicorn_drain_timeout": 3, "gunicorn_keepalive": 75, "gunicorn_timeout": 120}
NO_LIMIT = 86400
# What a package would start without its configuration, and outside of its sandbox.
STARTED = ("nginx", "prometheus-nginx-exporter")
# Of one site, by its name; the other files of the transaction are for all sites.
FILES = (
    "/etc/nginx/*sites/{}.conf",
    "/etc/nginx/*upstreams/{}.pem",
    "/etc/nginx/*passwords/{}",
    "/etc/ssl/sites/{}/given/*",
)


def derived(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """The plan of a host: what tasks and templates read besides the settings."""
    sites, mode = settings["nginx_sites"], settings["nginx_certificate"]
    inventory = str(view.facts.get("inventory", ""))
    others = other_sites(view.facts.get("sites", {}), inventory, sites)
    maintenance = maintained(view)
    planned = [asdict(site_plan(site, settings, maintenance)) for site in sites]
    names = [{"name": site["name"], "domains": site["domains"]} for site in [*sites, *others]]
    missing = [each for each in packages(settings) if each not in view.facts.get("packages", {})]
    limits = settings["nginx_rate_limit_mode"] != "disabled" or bool(others)
    openssl = installed(view, "libssl3t64") or installed(view, "libssl3")
    live = [f"/etc/ssl/sites/{site['name']}/live" for site in sites]
    decided = choices(settings, version(view))
    placed = plan(view.facts.get("nginx", {}), decided)
    return {
        **asdict(placed),
        "acme_directory": DIRECTORIES.get(settings["nginx_acme_directory"], settings["nginx_acme_directory"]),
        "address_site": next((site["name"] for site in names if has_address(site)), ""),
        "caches": bool(others) or any(route["cache"] or route["immutable"] for s in planned for route in s["routes"]),
        "certificates": certificates(sites, mode),
        "challenge_peers": [bracketed(each) for each in challenge_peers(settings, view)],
        "counts_connections": bool(settings["nginx_connections_per_client"]) or bool(others),
        "counts_requests": limits,
        "curves": [*(["?X25519MLKEM768"] if numbers(openssl) >= HYBRID_CURVE else []), *CURVES],
        "files_limit": decided.files_limit,
        "generation_address": GENERATION_ADDRESS,
        "given_chains": given_files(sites, mode, "chain"),
        "given_keys": given_files(sites, mode, "key"),
        "held": [service for service in STARTED if service in missing],
        "http2_directive": decided.http2_directive,
        "last_try_within": milliseconds(settings["nginx_proxy_read_timeout"] + 1),
        "missing": missing,
        "names": names,
        "other_files": files_of_sites(others),
        "password_files": password_files(sites),
        "proxy_protocol": decided.proxy_protocol,
        "public_ports": list(dict.fromkeys([*UNWRITTEN_PORTS, *settings["nginx_public_ports"]])),
        "read_timeout": milliseconds(settings["nginx_proxy_read_timeout"]),
        "real": [site["name"] for site in certificates(sites, mode) if site["mode"] != "self-signed"],
        "remembered": remembered(certificates(sites, mode), inventory, others),
        "sandbox": sandbox(settings, shared=placed.shared),
        "sandbox_of_certificates": unit_sandbox.certificates(shared=placed.shared),
        "sandbox_of_exporter": unit_sandbox.exporter(),
        "sites": planned,
        "sites_over_tls": [
            {"name": site["name"], "upstream_certificate": site["upstream_certificate"]}
            for site in sites
            if site.get("upstream_certificate")
        ],
        "validate": validators(live),
        "verify": verifiers(),
        "exporter_verify": exporter_verifiers(settings["nginx_exporter_listen"]),
        "would_install": f"apt would install {' and '.join(missing)} (Nginx {dotted(version(view))})",
    }


def milliseconds(seconds: float) -> str:
    """A time as Nginx takes it; it knows no decimals."""
    return f"{round(seconds * 1000)}ms"


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


def choices(settings: Mapping[str, Any], nginx: Version) -> Choices:
    """What the role was told, for an Nginx of this version."""
    return Choices(
        keep=settings["nginx_existing_sites"] == "keep",
        ipv6=settings["nginx_ipv6"],
        http2_directive=nginx >= HTTP2_DIRECTIVE,
        proxy_protocol=speaks_proxy_protocol(settings),
        worker_connections=settings["nginx_worker_connections"],
        # A client that waits for the app takes two; logs, temporary and static files take some more.
        files_limit=settings["nginx_worker_connections"] * 2 + 1024,
    )


def installed(view: View, package: str) -> str:
    """The version of a package of the host; empty when it is not there."""
    return str(view.facts.get("packages", {}).get(package) or "")


def version(view: View) -> Version:
    """The Nginx that the configuration is for: the installed one, or the one that is about to be."""
    candidate = view.facts.get("candidates", {}).get("nginx") or VERSIONS.get(view.facts["distribution_version"])
    return leading_numbers(installed(view, "nginx") or candidate or VERSIONS["13"])


def leading_numbers(text: str) -> Version:
    """All numbers that a version begins with, `1:1.26.3-3+deb13u1`, without the epoch of Debian."""
    numeric = "".join(takewhile(lambda each: each in "0123456789.", text.rpartition(":")[2]))
    return tuple(int(part) for part in numeric.split(".") if part)


def dotted(numeric: Version) -> str:
    """A version as people write it."""
    return ".".join(map(str, numeric))


def without_app(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """The settings without the site of the app that leaves.

    With `-e fastapi_inventory=`, what the inventory itself has set up is that of another one, and leaves as well.
    """
    foreign = other_sites(view.facts["sites"], str(view.facts["inventory"]), [])
    gone = {view.variables.get("app"), *(site["name"] for site in foreign)}
    return {**settings, "nginx_sites": [site for site in settings["nginx_sites"] if site["name"] not in gone]}


def has_address(site: Mapping[str, Any]) -> bool:
    """Whether a site is asked for by an address, so that a client sends no name."""
    return any(bare_address(str(domain)) is not None for domain in site["domains"])


def maintained(view: View) -> dict[str, Any]:
    """What the playbook maintenance has asked for, on this host or on another load balancer, by site."""
    found: dict[str, Any] = {}
    for host in view.groups.get("load_balancers", []):
        facts = view.hostvars[host].get("__fastapi_host") if host in view.hostvars else None
        found |= dict((facts or {}).get("maintenance", {}))
    return found | dict(view.facts.get("maintenance", {}))


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
