#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Placeholder certificates, so that a web server can start before there is a real one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: self_signed_certificates
short_description: Keep a self-signed certificate for each site, until a real one takes its place
description:
  - Writes C(NAME/self-signed/fullchain.pem) and C(NAME/self-signed/privkey.pem) for each site, ECDSA P-256, the key
    with mode C(0600), and the link C(NAME/live) to that folder where there is no C(live) yet.
  - A certificate is replaced when its names differ from the domains of the site, when it ends within O(renew_days)
    days, when its key does not belong to it, or when anybody but its owner could read the key.
  - A site whose C(live) leads to another folder serves a real certificate and goes on with that. Where the folder
    is none that the role nginx makes, C(letsencrypt-DIGEST) or C(files-DIGEST), the site is left alone.
  - All sites take one call. The host needs C(openssl).
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
options:
  certificates:
    description: The sites, complete; a site that is missing here is obsolete.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the site and of its folder.
        type: str
        required: true
      domains:
        description: Names, wildcards such as C(*.example.com) and IP addresses that the certificate is for.
        type: list
        elements: str
        required: true
  directory:
    description: Folder that has one folder for each site.
    type: path
    default: /etc/ssl/sites
  days:
    description: Life of a new certificate, in days.
    type: int
    default: 365
  renew_days:
    description: A certificate that has fewer days left than this is replaced.
    type: int
    default: 30
  remove_obsolete:
    description:
      - Remove the certificates of sites that are not in O(certificates). Only what this module made is removed.
      - Do this after the web server has forgotten those sites.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reports what would be made or removed and touches nothing.
    support: full
  diff_mode:
    description: Shows the names of each certificate before and after, never a key.
    support: full
notes:
  - Needs root for the default O(directory).
"""

EXAMPLES = r"""
- name: Keep placeholder certificates for two sites
  production.fastapi.self_signed_certificates:
    certificates:
      - name: shop
        domains: [shop.example.com, www.shop.example.com]
      - name: first-try
        domains: [192.0.2.10]
"""

RETURN = r"""
made:
  description: Names of the sites that got a new certificate or a C(live) link.
  returned: always
  type: list
  elements: str
  sample: [shop]
obsolete:
  description: Names of the sites that are not in O(certificates) and have a certificate that this module made.
  returned: always
  type: list
  elements: str
  sample: []
real:
  description: Names of the sites, obsolete ones too, that serve a real certificate which the role nginx keeps.
  returned: always
  type: list
  elements: str
  sample: []
serials:
  description:
    - Serial number of the self-signed certificate of each site, whether the site serves it or not.
    - Empty while there is none.
  returned: always
  type: dict
  sample: {shop: 4F1D2C}
"""

import contextlib
import ipaddress
import os
import re
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ORGANISATION = "production.fastapi"
SECONDS_PER_DAY = 86400
REAL = re.compile(r"(letsencrypt|files)-[0-9a-f]{16}")

Run = Callable[[list[str]], tuple[int, str, str]]


class CertificateError(Exception):
    """A sentence for the person who runs the play."""


@dataclass(frozen=True)
class Certificate:
    """What matters of a certificate: its names in canonical form, whether it lasts, and whether it is ours."""

    serial: str
    names: frozenset[str]
    public_key: str
    lasts: bool
    ours: bool


def canonical(name: str) -> str:
    """A domain in lower case; an IP address in its one short form."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def is_address(name: str) -> bool:
    """Whether the name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def parse(text: str, lasts: bool) -> Certificate:
    """The certificate that `openssl x509 -serial -subject -pubkey -ext subjectAltName` describes."""
    serial = re.search(r"^serial=(\w+)", text, re.MULTILINE)
    key = re.search(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", text, re.DOTALL)
    names = re.findall(r"\b(?:DNS|IP Address):([^,\s]+)", text)
    return Certificate(
        serial=serial[1] if serial else "",
        names=frozenset(map(canonical, names)),
        public_key=key[0] if key else "",
        lasts=lasts,
        # OpenSSL 3.2 stopped writing spaces around the equals sign.
        ours=re.search(rf"^subject=.*\bO ?= ?{re.escape(ORGANISATION)}(,|$)", text, re.MULTILINE) is not None,
    )


def openssl_config(site: str, domains: list[str]) -> str:
    """What `openssl req` needs to make a certificate for the domains."""
    names = [f"{'IP' if is_address(name) else 'DNS'}.{n} = {name}" for n, name in enumerate(domains, start=1)]
    return "\n".join(
        [
            "[req]",
            "prompt = no",
            "distinguished_name = subject",
            "x509_extensions = server",
            "[subject]",
            f"O = {ORGANISATION}",
            f"CN = {site}",
            "[server]",
            "basicConstraints = critical, CA:FALSE",
            "keyUsage = critical, digitalSignature",
            "extendedKeyUsage = serverAuth",
            "subjectKeyIdentifier = hash",
            "subjectAltName = @names",
            "[names]",
            *names,
            "",
        ]
    )


class Store:
    """The folder of all sites' certificates."""

    def __init__(self, directory: Path, renew_days: int, run: Run) -> None:
        """`run` runs a command and gives its exit status, output and error output."""
        self.directory = directory
        self.renew_days = renew_days
        self.run = run

    def read(self, site: str) -> Certificate | None:
        """The self-signed certificate of a site; None if there is none that openssl can read."""
        path = self.directory / site / "self-signed" / "fullchain.pem"
        if not path.is_file():
            return None
        describe = ["openssl", "x509", "-in", str(path), "-noout", "-serial", "-subject", "-pubkey"]
        seconds = str(self.renew_days * SECONDS_PER_DAY)
        # The exit status of -checkend says only whether the certificate lasts; an unreadable one has no serial number.
        status, output, _unused = self.run([*describe, "-ext", "subjectAltName", "-checkend", seconds])
        certificate = parse(output, lasts=status == 0)
        return certificate if certificate.serial else None

    def is_good(self, site: str, domains: list[str], certificate: Certificate | None) -> bool:
        """Whether the certificate may stay: right names, enough time, its own key, which nobody else could read."""
        if certificate is None or not certificate.lasts or certificate.names != set(map(canonical, domains)):
            return False
        key = self.directory / site / "self-signed" / "privkey.pem"
        if not key.is_file() or stat.S_IMODE(key.stat().st_mode) & 0o077 or key.stat().st_uid != os.geteuid():
            return False
        status, output, _unused = self.run(["openssl", "pkey", "-in", str(key), "-pubout"])
        return status == 0 and output.strip() == certificate.public_key

    def is_placeholder(self, site: str) -> bool:
        """Whether the site serves the self-signed certificate, or nothing yet."""
        live = self.directory / site / "live"
        return not os.path.lexists(live) or live.resolve() == (self.directory / site / "self-signed").resolve()

    def real(self) -> list[str]:
        """Names of the sites that serve a real certificate which the role keeps."""
        links = sorted(self.directory.glob("*/live"))
        return [link.parent.name for link in links if link.is_symlink() and REAL.fullmatch(str(link.readlink()))]

    def has_link(self, site: str) -> bool:
        """Whether `live` exists, wherever it leads."""
        return os.path.lexists(self.directory / site / "live")

    def make(self, site: str, domains: list[str], days: int) -> None:
        """Write a new key and certificate; each file is complete at every moment.

        Killed between the two renames, they do not belong together, which `is_good` finds in the next run.
        """
        folder = self.directory / site / "self-signed"
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as stage:
            config, key, chain = (Path(stage, name) for name in ("openssl.cnf", "privkey.pem", "fullchain.pem"))
            config.write_text(openssl_config(site, domains), encoding="utf-8")
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            command += ["-days", str(days), "-config", str(config), "-keyout", str(key), "-out", str(chain)]
            status, _unused, error = self.run(command)
            if status != 0:
                raise CertificateError(f"openssl made no certificate for {site}: {error.strip()}")
            key.chmod(0o600)
            chain.chmod(0o644)
            for path in (key, chain):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                path.replace(folder / path.name)

    def link(self, site: str) -> None:
        """Make the self-signed certificate the live one."""
        (self.directory / site / "live").symlink_to("self-signed")

    def obsolete(self, wanted: set[str]) -> list[str]:
        """Names of sites that nobody wants and that have a certificate of ours."""
        if not self.directory.is_dir():
            return []
        names = sorted(path.name for path in self.directory.iterdir() if path.name not in wanted)
        return [name for name in names if (certificate := self.read(name)) and certificate.ours]

    def remove(self, site: str) -> None:
        """Remove what this module made for the site, and its folders when nothing else is in them."""
        folder = self.directory / site
        live = folder / "live"
        if self.is_placeholder(site):
            live.unlink(missing_ok=True)
        for name in ("fullchain.pem", "privkey.pem"):
            (folder / "self-signed" / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (folder / "self-signed").rmdir()
            folder.rmdir()


def check(certificates: list[dict[str, Any]]) -> None:
    """Raises CertificateError for a name that is no folder name, or a domain that could not be in a certificate."""
    for entry in certificates:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", entry["name"]):
            raise CertificateError(f"certificates: name {entry['name']!r} is no folder name; write one like shop.")
        if not entry["domains"]:
            raise CertificateError(f"certificates: {entry['name']} has no domains; give at least one.")
        for domain in entry["domains"]:
            if not is_address(domain) and not re.fullmatch(r"[A-Za-z0-9.*_-]+", domain):
                raise CertificateError(
                    f"certificates: {domain!r} of {entry['name']} is neither a domain nor an IP address; "
                    "write one like shop.example.com."
                )


def describe(domains: frozenset[str] | list[str]) -> str:
    """The line of a certificate in a diff."""
    return f"self-signed for {', '.join(sorted(map(canonical, domains)))}\n"


def main() -> None:
    """Compare, make what is missing, remove what is obsolete."""
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "certificates": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "domains": {"type": "list", "elements": "str", "required": True},
                },
            },
            "directory": {"type": "path", "default": "/etc/ssl/sites"},
            "days": {"type": "int", "default": 365},
            "renew_days": {"type": "int", "default": 30},
            "remove_obsolete": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    options = module.params
    certificates = options["certificates"]
    if module.get_bin_path("openssl") is None and not module.check_mode:
        module.fail_json(msg="The host has no openssl, which makes the certificates; install the package openssl.")

    store = Store(Path(options["directory"]), options["renew_days"], module.run_command)
    made: list[str] = []
    serials: dict[str, str] = {}
    diff: list[dict[str, str]] = []
    real = store.real()
    try:
        check(certificates)
        for entry in certificates:
            site, domains = entry["name"], entry["domains"]
            serials[site] = ""
            if not store.is_placeholder(site) and site not in real:
                continue
            before = store.read(site)
            good = store.is_good(site, domains, before)
            if not good or not store.has_link(site):
                made.append(site)
                path = str(store.directory / site)
                diff.append({"before_header": path, "after_header": path, "after": describe(domains)})
                diff[-1]["before"] = describe(before.names) if before else ""
                if not module.check_mode:
                    if not good:
                        store.make(site, domains, options["days"])
                    if not store.has_link(site):
                        store.link(site)
            after = before if module.check_mode else store.read(site)
            serials[site] = after.serial if after else ""
        obsolete = store.obsolete({entry["name"] for entry in certificates})
        if options["remove_obsolete"]:
            for site in obsolete:
                path = str(store.directory / site)
                diff.append({"before_header": path, "after_header": path, "before": "self-signed\n", "after": ""})
                if not module.check_mode:
                    store.remove(site)
    except (CertificateError, OSError) as error:
        module.fail_json(msg=str(error))
    changed = bool(made or (options["remove_obsolete"] and obsolete))
    module.exit_json(changed=changed, made=made, obsolete=obsolete, real=real, serials=serials, diff=diff)


if __name__ == "__main__":
    main()
