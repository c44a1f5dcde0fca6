# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The self-signed certificates of the sites: read, made, linked and removed."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIRECTORY = "/etc/ssl/sites"
RENEW_DAYS = 30
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

    def survey(self) -> dict[str, dict[str, Any]]:
        """What is there of each site: of its self-signed certificate what `settled` needs to know."""
        found: dict[str, dict[str, Any]] = {}
        real = self.real()
        for folder in sorted(self.directory.iterdir()) if self.directory.is_dir() else []:
            if not folder.is_dir():
                continue
            site = folder.name
            certificate = self.read(site)
            found[site] = {
                "serial": certificate.serial if certificate else "",
                "names": sorted(certificate.names) if certificate else [],
                "good": certificate is not None and self.is_good(site, sorted(certificate.names), certificate),
                "ours": certificate is not None and certificate.ours,
                "linked": self.has_link(site),
                "placeholder": self.is_placeholder(site),
                "real": site in real,
            }
        return found


def settled(certificates: Iterable[Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the module would return where all is as it should be, by a `survey`; None where there is something to do."""
    serials: dict[str, str] = {}
    for entry in certificates:
        here = found.get(str(entry["name"]))
        if here is None:
            return None
        serials[entry["name"]] = ""
        if not here["placeholder"] and not here["real"]:
            continue
        names = sorted({canonical(str(domain)) for domain in entry["domains"]})
        if not (here["good"] and here["linked"] and list(here["names"]) == names):
            return None
        serials[entry["name"]] = here["serial"]
    return {
        "changed": False,
        "made": [],
        "obsolete": sorted(site for site, here in found.items() if site not in serials and here["ours"]),
        "real": sorted(site for site, here in found.items() if here["real"]),
        "serials": serials,
        "diff": [],
    }
