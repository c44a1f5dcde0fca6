# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the certificate of each site comes from, and what is wrong with that, before anything changes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificates
short_description: Say where the certificate of each site comes from
description:
  - A site has the mode of its C(certificate), else the one that is given.
  - With V(files), C(chain) and C(key) are the paths on the host, to which the role copies them unless they are there.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: mode
options:
  _input:
    description: Sites as the variable C(nginx_sites) of the role P(production.fastapi.nginx#role) has them.
    type: list
    elements: dict
    required: true
  mode:
    description: What holds for a site that does not say.
    type: str
    choices: [letsencrypt, files, self-signed]
    required: true
"""

EXAMPLES = r"""
- name: Show where certificates come from
  ansible.builtin.debug:
    msg: "{{ nginx_sites | production.fastapi.certificates('letsencrypt') }}"
"""

RETURN = r"""
_value:
  description: An entry for each site.
  type: list
  elements: dict
  sample: [{name: shop, domains: [shop.example.com], mode: letsencrypt, chain: "", key: ""}]
"""

import contextlib
import ipaddress
import itertools
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.filter.sites import address_of

with contextlib.suppress(ImportError):  # Ansible brings it, and is only without when its documentation is tested
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

MODES = ("letsencrypt", "files", "self-signed")
# The role's folder for what it brings to the host.
GIVEN = "/etc/ssl/sites/{name}/given"


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
        return [problem for domain in site["domains"] if (problem := authority_problem(str(domain), by_dns))]
    return files_problems(site) if mode == "files" else []


def authority_problem(domain: str, by_dns: bool) -> str:
    """Why an authority would never issue a certificate for this domain; empty when it could."""
    if domain.startswith("*.") and not by_dns:
        return (
            f"letsencrypt cannot prove the wildcard {domain} by a request; set nginx_acme_dns, write its names one by "
            "one, or set certificate to files."
        )
    if domain == "localhost" or address_of(domain) is not None:
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
    return pair_problems(chain, key, [str(domain) for domain in site["domains"]])


def pair_problems(chain_path: Path, key_path: Path, domains: list[str], ordered: bool = True) -> list[str]:
    """What is wrong with a chain and a key for these domains; what Ansible Vault has encrypted is left to the host.

    In one that is not `ordered`, the certificates after the first need not have issued the one before.
    """
    chain_text, key_text = chain_path.read_bytes(), key_path.read_bytes()
    if chain_text.startswith(b"$ANSIBLE_VAULT"):
        return []
    try:
        chain = x509.load_pem_x509_certificates(chain_text)
    except ValueError:
        return [f"{chain_path} has no certificate in PEM form; give the certificate, then those that issued it."]
    leaf = chain[0]
    problems = []
    if not key_text.startswith(b"$ANSIBLE_VAULT"):
        try:
            key = load_pem_private_key(key_text, password=None)
        except (ValueError, TypeError):
            return [f"{key_path} has no private key in PEM form without a password."]
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
            problems.append(
                f"the key {key_path} does not belong to the first certificate in {chain_path}; the site's own "
                "certificate comes first, then those that issued it."
            )
    for below, above in itertools.pairwise(chain if ordered else ()):
        if below.issuer != above.subject:
            problems.append(
                f"{chain_path} is out of order: {below.subject.rfc4514_string()} was not issued by the next one, "
                f"{above.subject.rfc4514_string()}; each certificate is followed by the one that issued it."
            )
    missing = [domain for domain in domains if not covers(names_of(leaf), domain)]
    if missing:
        problems.append(f"the certificate {chain_path} is not for {', '.join(missing)}; take one for all domains.")
    if leaf.not_valid_after_utc <= datetime.now(UTC):
        problems.append(f"the certificate {chain_path} expired on {leaf.not_valid_after_utc:%Y-%m-%d}; take a new one.")
    return problems


def key_pair_problems(pair: Sequence[str], domains: list[str]) -> list[str]:
    """What is wrong with the paths of a chain and of its key, for these domains."""
    for path in pair:
        if not Path(path).is_file():
            return [f"the controller has no file {path}; write the absolute path of a PEM file."]
    chain, key = map(Path, pair)
    return pair_problems(chain, key, domains, ordered=False) or trust_problems(chain)


def trust_problems(path: Path) -> list[str]:
    """Why nobody could trust the first certificate in a file by what else is in it."""
    if path.read_bytes().startswith(b"$ANSIBLE_VAULT"):
        return []
    chain = x509.load_pem_x509_certificates(path.read_bytes())
    known = {certificate.subject: certificate for certificate in chain}
    certificate = chain[0]
    for _unused in chain:  # no more steps than that, should two have issued each other
        if certificate.issuer == certificate.subject:
            break
        if certificate.issuer not in known:
            return [
                f"{path} has no certificate of {certificate.issuer.rfc4514_string()}, which has issued one in it; add "
                "it, up to the one that issued itself."
            ]
        certificate = known[certificate.issuer]
    return []


def names_of(certificate: x509.Certificate) -> set[str]:
    """The names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    domains = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
    return domains | {str(address) for address in names.get_values_for_type(x509.IPAddress)}


def covers(names: set[str], domain: str) -> bool:
    """Whether a certificate with these names is valid for the domain; a wildcard stands for one label."""
    text = str(ipaddress.ip_address(domain)) if re.fullmatch(r"[0-9.]+|.*:.*", domain) else domain.lower()
    return text in names or f"*.{text.partition('.')[2]}" in names


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "certificates": certificates,
            "certificate_problems": certificate_problems,
            "given_files": given_files,
            "key_pair_problems": key_pair_problems,
        }
