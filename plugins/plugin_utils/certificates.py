# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the certificate of each site comes from."""

from __future__ import annotations

from typing import Any

# The role's folder for what it brings to the host.
GIVEN = "/etc/ssl/sites/{name}/given"

# Names that Let's Encrypt takes in one certificate.
MOST_NAMES = 100


def certificates(sites: list[dict[str, Any]], mode: str) -> list[dict[str, Any]]:
    """Name, domains, mode, chain and key of each site."""
    return [
        {
            "name": site["name"],
            "domains": site["domains"],
            "mode": mode_of(site, mode),
            **dict(zip(("chain", "key"), paths_of(site, mode), strict=True)),
        }
        for site in sites
    ]


def mode_of(site: dict[str, Any], mode: str) -> str:
    """Where the certificate of a site comes from."""
    return str(site.get("certificate") or mode)


def paths_of(site: dict[str, Any], mode: str) -> tuple[str, str]:
    """Where the host has chain and key of a site; empty when they are none of ours to bring."""
    if mode_of(site, mode) != "files":
        return "", ""
    if site.get("certificate_on_host"):
        return str(site.get("certificate_chain", "")), str(site.get("certificate_key", ""))
    folder = GIVEN.format(name=site["name"])
    return f"{folder}/fullchain.pem", f"{folder}/privkey.pem"


def given_files(sites: list[dict[str, Any]], mode: str, part: str) -> list[dict[str, str]]:
    """The files to bring to the host; `part` is chain or key."""
    return [
        {"name": site["name"], "file": site[f"certificate_{part}"]}
        for site in sites
        if mode_of(site, mode) == "files" and not site.get("certificate_on_host")
    ]
