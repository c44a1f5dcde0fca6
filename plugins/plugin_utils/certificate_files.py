# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with files of certificates and keys on the controller."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import re
from datetime import UTC, datetime
from pathlib import Path

with contextlib.suppress(ImportError):  # Ansible brings it, and is only without when its documentation is tested
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


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
