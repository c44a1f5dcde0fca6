# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the certificates of sites, and of an app."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.certificates import mode_of
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import bare_address

# Names that Let's Encrypt takes in one certificate.
MOST_NAMES = 100
MODES = ("letsencrypt", "files", "self-signed")


def certificate_problems(sites: list[dict[str, Any]], mode: str, by_dns: bool = False) -> list[str]:
    """What is wrong with the certificates of sites, a sentence each; `by_dns` is how an authority has names proved."""
    return [
        f"Site {site['name']}: {problem}"
        for site in sites
        if not isinstance(site["domains"], str)
        for problem in problems_of(site, mode_of(site, mode), by_dns)
    ]


def problems_of(site: dict[str, Any], mode: str, by_dns: bool) -> list[str]:
    """What is wrong with the certificate of one site."""
    if mode not in MODES:
        return [f"its certificate is {mode}; write one of {', '.join(MODES)}."]
    if mode == "letsencrypt":
        if len(site["domains"]) > MOST_NAMES:
            return [
                f"it has {len(site['domains'])} domains, and a certificate has at most {MOST_NAMES}; give some of them "
                "to another site, or set certificate to files."
            ]
        return [problem for domain in site["domains"] if (problem := authority_problem(str(domain), by_dns))]
    return files_problems(site) if mode == "files" else []


def authority_problem(domain: str, by_dns: bool) -> str:
    """Why an authority would never issue a certificate for this domain; empty when it could."""
    if domain.startswith("*.") and not by_dns:
        return (
            f"letsencrypt cannot prove the wildcard {domain} by a request; set nginx_acme_dns, write its names one by "
            "one, or set certificate to files."
        )
    if "." not in domain or "_" in domain or bare_address(domain) is not None:
        return f"no certificate is issued for {domain}; use domain names, or set certificate to self-signed."
    return ""


def files_problems(site: dict[str, Any]) -> list[str]:
    """What is wrong with the files of a site."""
    for part in ("certificate_chain", "certificate_key"):
        path = str(site.get(part) or "")
        if not path.startswith("/"):
            return [f"certificate is files, and {part} is {path or 'missing'}; write an absolute path of a PEM file."]
    if site.get("certificate_on_host"):
        return []  # the host looks at them before it serves them
    chain, key = Path(site["certificate_chain"]), Path(site["certificate_key"])
    for file in (chain, key):
        if not file.is_file():
            return [f"the controller has no file {file}; correct the path, or set certificate_on_host."]
    problems: list[str] = files().pair_problems(chain, key, [str(domain) for domain in site["domains"]])
    return problems


def key_pair_problems(pair: Sequence[str], domains: list[str]) -> list[str]:
    """What is wrong with the paths of a chain and of its key, for these domains."""
    for path in pair:
        if not Path(path).is_file():
            return [f"the controller has no file {path}; write the absolute path of a PEM file."]
    chain, key = map(Path, pair)
    problems: list[str] = files().pair_problems(chain, key, domains, ordered=False)
    return problems or list(files().trust_problems(chain))


def files() -> ModuleType:
    """What reads certificates. Ansible loads this file in many of its processes, and few of them read any."""
    return import_module("ansible_collections.production.fastapi.plugins.plugin_utils.certificate_files")
