# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role nginx refuses, a sentence each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils import nginx
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.certificates import certificate_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View, system_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.inventories import foreign_site_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.nginx_existing import existing_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.routes import route_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.sites import site_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx_plan import Choices

HIGHEST = 10**15
MINIMUM = {
    "nginx_acme_dns_wait": 0,
    "nginx_connections_per_client": 0,
    "nginx_hsts_max_age": 0,
    "nginx_keepalive_timeout": 0,
    "nginx_proxy_connect_timeout": 1,
    "nginx_rate_limit_burst": 0,
    "nginx_rate_limit_per_second": 1,
    "nginx_upstream_keepalive": 1,
    "nginx_upstream_keepalive_timeout": 1,
    "nginx_worker_connections": 64,
}
# What earlier versions knew, and what to do where it is still set.
REMOVED = {
    "nginx_acme_staging_directory": (
        "set nginx_acme_directory to staging to try, and to production when that has worked"
    ),
    "nginx_brotli_static": (
        'remove the variable, and put "brotli_static on;" into extra_config of a site if you have the module'
    ),
    "nginx_http3": "remove the variable, because HTTP/3 lost requests at each reload of Nginx",
}
ONE_WORD = ("nginx_acme_email", "nginx_acme_profile", "nginx_acme_eab_kid", "nginx_acme_eab_hmac_key")
NETWORK = "write an address or a network, such as 10.0.0.0/8 or 2001:db8::/32"


def problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with the settings of a load balancer; no sentence has a secret in it."""
    sites = settings["nginx_sites"]
    yield from system_problems(view.facts)
    yield from site_problems(sites)
    yield from route_problems(sites)
    yield from certificate_problems(sites, settings["nginx_certificate"], settings["nginx_acme_dns"] != "")
    choices = Choices(
        keep=settings["nginx_existing_sites"] == "keep",
        ipv6=settings["nginx_ipv6"],
        proxy_protocol=nginx.speaks_proxy_protocol(settings),
        trusts_proxies=bool(settings["nginx_trusted_proxies"]),
    )
    yield from foreign_site_problems(sites, view.facts.get("sites", {}), str(view.facts.get("inventory", "")))
    yield from existing_problems(view.facts.get("nginx", {}), sites, choices)
    if not sites and not view.groups.get("app_servers") and not view.seen.get("leaving"):
        yield "Nginx has no sites: the inventory has no host in the group app_servers; add one, or set nginx_sites."
    for name, instead in REMOVED.items():
        given = view.variables.get(name)
        if given and values.boolean(given) is not False:
            yield f"{name} was removed: {instead}."
    for name, minimum in MINIMUM.items():
        if values.number(settings[name], minimum, HIGHEST) is None:
            yield f"{name} is {settings[name]}; write {minimum} or more."
    yield from authority_problems(settings, view)
    yield from client_problems(settings)
    yield from time_problems(settings, view)


def authority_problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """Why an authority could not be asked for certificates."""
    directory, profile, plugin = (settings[f"nginx_acme_{each}"] for each in ("directory", "profile", "dns"))
    if directory not in nginx.DIRECTORIES and values.authority(directory) is None:
        yield (
            f"nginx_acme_directory is {directory}; write production, staging, or the https:// address of an ACME "
            "directory."
        )
    if profile and nginx.uses_authority(settings) and view.facts["distribution_version"] in ("12", "24.04"):
        yield (
            f"nginx_acme_profile is {profile}, but certbot of Debian 12 and of Ubuntu 24.04 knows no profiles; leave "
            "it empty, or use Debian 13."
        )
    bundle = settings["nginx_acme_ca_bundle"]
    if bundle and not bundle.startswith("/"):
        yield f"nginx_acme_ca_bundle is {bundle}; write the absolute path of a file on the load balancer."
    if bool(settings["nginx_acme_eab_kid"]) != bool(settings["nginx_acme_eab_hmac_key"]):
        yield "nginx_acme_eab_kid and nginx_acme_eab_hmac_key belong together; set both, or none."
    if not all(values.is_word(settings[name]) for name in ONE_WORD):
        yield f"{', '.join(ONE_WORD[:-1])} and {ONE_WORD[-1]} must not contain spaces or line breaks."
    if plugin and values.dns_plugin(plugin) is None:
        yield (
            f"nginx_acme_dns is {plugin}; write the NAME of a package python3-certbot-dns-NAME of Debian, such as "
            "rfc2136."
        )
    if settings["nginx_acme_dns_credentials"] and not plugin:
        yield (
            "nginx_acme_dns_credentials is set without a plugin; set nginx_acme_dns to its name, such as rfc2136, or "
            "leave both empty."
        )
    peers = nginx.challenge_peers(settings, view)
    if len(peers) > 3:
        yield (
            f"nginx_certificate is letsencrypt on {len(peers) + 1} load balancers, but a CA issues few "
            "certificates for the same names in a week; get one elsewhere, and set nginx_certificate to files."
        )
    if peers and nginx.speaks_proxy_protocol(settings):
        yield (
            "nginx_trusted_proxies_header is proxy_protocol, with which load balancers cannot pass on challenges of a "
            "CA; set nginx_certificate to files, or use one load balancer."
        )


def client_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with who may ask, where and how much."""
    size, header, listen = (
        settings[f"nginx_{each}"] for each in ("client_max_body_size", "trusted_proxies_header", "exporter_listen")
    )
    if values.size(size) is None:
        yield f"nginx_client_max_body_size is {size}; write a number with k, m or g, such as 10m."
    headers = str(settings["nginx_response_header_size"])
    if not headers.endswith("k") or values.number(headers[:-1], 4, 999) is None:
        yield f"nginx_response_header_size is {headers}; write 4k to 999k, such as 64k."
    for path in settings["nginx_rate_limit_exempt"]:
        if values.plain_path(path) is None:
            yield f"nginx_rate_limit_exempt has {path}; write a plain path, such as /healthz."
    for name in ("nginx_rate_limit_allow", "nginx_trusted_proxies"):
        for network in settings[name]:
            if values.network(network) is None:
                yield f"{name} has {network}; {NETWORK}."
    for network in settings["nginx_trusted_proxies"]:
        known = values.network(network)
        if known is not None and known.prefixlen == 0:
            yield (
                f"nginx_trusted_proxies has {network}, which includes every client, so any client could claim any "
                "address; write the networks of your proxies."
            )
    if header != "proxy_protocol" and values.header(header) is None:
        yield (
            f"nginx_trusted_proxies_header is {header}; write the name of a header, such as X-Forwarded-For, or "
            "proxy_protocol."
        )
    if settings["nginx_exporter"] and values.endpoint(listen) is None:
        yield (
            f"nginx_exporter_listen is {listen}; write an address of this host and a port, such as 127.0.0.1:9113 or "
            "10.0.0.5:9113."
        )
    for port in settings["nginx_public_ports"]:
        if values.number(port, 1, 65535) is None:
            yield f"nginx_public_ports has {port}; write the ports that clients use, from 1 to 65535, such as 8443."
    for path in settings["nginx_private_paths"]:
        if values.plain_path(path) is None or str(path).endswith("/"):
            yield f"nginx_private_paths has {path}; write a plain path without / at its end, such as /metrics."


def time_problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with times that depend on those of the apps; those that are no number are told elsewhere."""
    connect, idle = (
        values.number(settings[f"nginx_{each}"], 1, HIGHEST) or 0
        for each in ("proxy_connect_timeout", "upstream_keepalive_timeout")
    )
    read = settings["nginx_proxy_read_timeout"]
    keepalive, drain, timeout = (
        nginx.shortest(f"gunicorn_{each}", view) for each in ("keepalive", "drain_timeout", "timeout")
    )
    if connect > 75:
        yield f"nginx_proxy_connect_timeout is {connect} s; write 75 or less, because no connection takes longer."
    if idle >= keepalive:
        yield (
            f"nginx_upstream_keepalive_timeout ({idle} s) must be less than gunicorn_keepalive ({keepalive} s), or a "
            f"worker closes a connection that Nginx is about to use; set gunicorn_keepalive to {idle + 15} or more, or "
            f"nginx_upstream_keepalive_timeout below {keepalive}."
        )
    if idle >= drain:
        yield (
            f"nginx_upstream_keepalive_timeout ({idle} s) must be less than gunicorn_drain_timeout ({drain} s), or a "
            "worker that goes closes a connection that Nginx is about to use; set gunicorn_drain_timeout to "
            f"{idle + 1} or more."
        )
    if read < 1:
        yield f"nginx_proxy_read_timeout is {read:g}; write 1 or more."
    if read > timeout:
        yield (
            f"nginx_proxy_read_timeout ({read:g} s) must not be longer than gunicorn_timeout ({timeout} s); set "
            f"nginx_proxy_read_timeout to {timeout} or less, or gunicorn_timeout to {math.ceil(read)} or more."
        )
