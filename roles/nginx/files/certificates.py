# MIT licensed, part of the Ansible collection production.fastapi, whose role nginx wrote this file.
"""Keeps the certificate of every site of this host: decides what is due, has it issued, and makes Nginx serve it.

    certificates renew            what is due now; the timer and the play do this
    certificates renew SITE…      the same for these sites, due or not
    certificates dry-run          rehearse with the authority, and keep nothing
    certificates show             a line for each site

What Nginx serves is SITE/live, a link to one complete folder: SITE/self-signed, SITE/letsencrypt-DIGEST or
SITE/files-DIGEST. Certbot's own copy is not kept, so there is one place to look. What was done goes to stdout, a
sentence for each thing that went wrong to stderr, and then the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import ipaddress
import json
import os
import queue
import re
import secrets
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DIRECTORY = Path("/etc/ssl/sites")
CHALLENGES = Path("/var/www/acme/.well-known/acme-challenge")
CERTBOT = Path("/var/lib/production.fastapi/certbot")
# In a folder that no other account can enter, because a descriptor for reading is enough to hold a lock.
LOCK = Path("/run/production.fastapi.private/site-certificates.lock")
# Seconds: an authority that does not answer holds up each site for ISSUE_TIMEOUT.
LOCK_TIMEOUT = 1800
MADE = re.compile(r"(letsencrypt|files)-[0-9a-f]{16}")
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
# Renewal begins when a third of the life is left; with half of that gone too, somebody has to look.
RENEW_AFTER = 2 / 3
ALARM_AFTER = 5 / 6
ISSUE_TIMEOUT = 300
FETCH_TIMEOUT = 10
SERVED_TIMEOUT = 10
# Bytes of a file with certificates or a key.
LARGEST = 1_000_000


class CertificateError(Exception):
    """A sentence for the person who looks after the host."""


@dataclass(frozen=True)
class Site:
    """A site as the role describes it; `mode` is letsencrypt, files or self-signed."""

    name: str
    domains: list[str]
    mode: str
    chain: str = ""
    key: str = ""
    # Which inventory it came from; the role and status ask for it.
    inventory: str = ""


@dataclass(frozen=True)
class Settings:
    """What the role has written into certificates.json; `authority` is the URL of an ACME directory."""

    sites: list[Site]
    authority: str = ""
    ca_bundle: str = ""
    preflight: bool = True
    proxy_protocol: bool = False


@dataclass(frozen=True)
class Certificate:
    """What matters of a certificate; times are seconds since 1970."""

    names: frozenset[str]
    issuer: str
    begins: float
    ends: float
    public_key: str = field(repr=False)

    def at(self, part: float) -> float:
        """The time at which this part of its life, 0 to 1, is over."""
        return self.begins + (self.ends - self.begins) * part


def read_settings(path: Path) -> Settings:
    """The settings in a JSON file."""
    values = json.loads(path.read_text(encoding="utf-8"))
    return Settings(**{**values, "sites": [Site(**site) for site in values["sites"]]})


def run(*command: str, timeout: int = 30, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with its output as text; raises CertificateError when it does not end in time."""
    values = {**os.environ, "LC_ALL": "C", **environment}
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=values, check=False)
    except subprocess.TimeoutExpired:
        raise CertificateError(f"{command[0]} did not end within {timeout} s.") from None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other process looks after certificates; ends with a sentence when that takes too long."""
    LOCK.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    until = time.monotonic() + LOCK_TIMEOUT
    with LOCK.open("a+", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    lock.seek(0)
                    holder = lock.read().strip()
                    sys.exit(
                        f"Process {holder} has looked after certificates for {LOCK_TIMEOUT} s; let it end, or end it."
                    )
                time.sleep(0.2)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def canonical(name: str) -> str:
    """A domain in lower case, an address in its one short form."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def read_certificate(path: Path) -> Certificate | None:
    """The first certificate in a PEM file; None if there is none."""
    options = ["-noout", "-dates", "-issuer", "-pubkey", "-ext", "subjectAltName", "-nameopt", "RFC2253"]
    text = run("openssl", "x509", "-in", str(path), *options).stdout
    fields = dict(re.findall(r"^(notBefore|notAfter|issuer)=(.*)$", text, re.MULTILINE))
    public_key = re.search(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", text, re.DOTALL)
    if "notAfter" not in fields or public_key is None:
        return None
    return Certificate(
        names=frozenset(map(canonical, re.findall(r"\b(?:DNS|IP Address):([^,\s]+)", text))),
        issuer=fields.get("issuer", ""),
        begins=ssl.cert_time_to_seconds(fields["notBefore"]),
        ends=ssl.cert_time_to_seconds(fields["notAfter"]),
        public_key=public_key[0],
    )


def copy(path: Path, folder: str) -> Path:
    """A copy of a file in a folder, below its own path; raises CertificateError when it is none, or far too large."""
    target = Path(f"{folder}{path.absolute()}")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            text = file.read(LARGEST + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}.") from None
    if text is None or len(text) > LARGEST:
        raise CertificateError(f"{path} is not a file of a certificate or key.")
    target.touch(mode=0o600)
    target.write_bytes(text)
    return target


def covers(names: frozenset[str], domain: str) -> bool:
    """Whether a certificate with these names is valid for the domain; a wildcard stands for one label."""
    wanted = canonical(domain)
    return wanted in names or f"*.{wanted.partition('.')[2]}" in names


def reason_to_issue(certificate: Certificate | None, authority: str, site: Site, settings: Settings, now: float) -> str:
    """Why the authority is to be asked for a certificate; empty when what is there will do."""
    if certificate is None:
        return "it has none of the authority"
    if authority != settings.authority:
        return "it is of another authority"
    if certificate.names != frozenset(map(canonical, site.domains)):
        return "the domains have changed"
    if now >= certificate.at(RENEW_AFTER):
        return "two thirds of its life are over"
    return ""


def problem_of_pair(chain: Path, key: Path, domains: list[str], now: float) -> str:
    """What is wrong with a certificate and its key for these domains; empty when nothing is."""
    certificate = read_certificate(chain) if chain.is_file() else None
    if certificate is None:
        return f"{chain} has no certificate."
    public_key = run("openssl", "pkey", "-in", str(key), "-pubout", "-passin", "pass:").stdout.strip()
    if public_key != certificate.public_key:
        return (
            f"the key {key} does not belong to the certificate {chain}, whose own certificate must be the first in it."
        )
    missing = [domain for domain in domains if not covers(certificate.names, domain)]
    if missing:
        return f"the certificate {chain} is not for {', '.join(missing)}."
    if now >= certificate.ends:
        return f"the certificate {chain} has expired."
    return ""


class Store:
    """The folder with one folder for each site."""

    def __init__(self, settings: Settings, directory: Path = DIRECTORY) -> None:
        """What it does to Nginx is in `serve`, all else are files below `directory`."""
        self.settings = settings
        self.directory = directory

    def live(self, site: str) -> str:
        """The folder that the site serves; empty when there is no link."""
        link = self.directory / site / "live"
        return str(link.readlink()) if link.is_symlink() else ""

    def current(self, site: Site) -> tuple[Certificate | None, str]:
        """The certificate of an authority that the site serves, and the URL of the authority."""
        folder = self.directory / site.name / "live"
        if not self.live(site.name).startswith("letsencrypt-"):
            return None, ""
        return read_certificate(folder / "fullchain.pem"), (folder / "authority").read_text(encoding="utf-8").strip()

    def install(self, site: Site, chain: Path, key: Path, authority: str = "") -> bool:
        """Serve this pair, and say whether that is a change; raises CertificateError when Nginx does not take it."""
        text = chain.read_text(encoding="utf-8")
        name = f"{site.mode}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if name == self.live(site.name):
            return False
        stage = self.directory / site.name / ".new"
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(mode=0o755, parents=True)
        for file, content, mode in (
            ("privkey.pem", key.read_text(encoding="utf-8"), 0o600),
            ("fullchain.pem", text, 0o644),
            ("authority", f"{authority}\n", 0o644),
        ):
            (stage / file).touch(mode)
            with (stage / file).open("w", encoding="utf-8") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
        folder = self.directory / site.name / name
        shutil.rmtree(folder, ignore_errors=True)
        stage.replace(folder)
        self.switch(site, name)
        return True

    def switch(self, site: Site, name: str) -> None:
        """Serve another folder of the site; raises CertificateError, and serves the old one, when Nginx refuses it."""
        before = self.live(site.name)
        self.link(site.name, name)
        try:
            self.serve(site)
        except CertificateError:
            self.link(site.name, before)
            run("systemctl", "reload", "nginx")
            raise
        for path in (self.directory / site.name).iterdir():
            if MADE.fullmatch(path.name) and path.name != name:
                shutil.rmtree(path)

    def link(self, site: str, name: str) -> None:
        """Change the link in one step, so that Nginx could start at any moment."""
        new = self.directory / site / ".live"
        new.unlink(missing_ok=True)
        new.symlink_to(name)
        new.replace(self.directory / site / "live")

    def serve(self, site: Site) -> None:
        """Have Nginx load what is live, and see that it does; raises CertificateError otherwise."""
        tested = run("nginx", "-t", "-q")
        if tested.returncode != 0:
            raise CertificateError(f"Nginx refuses the new certificate: {tested.stderr.strip()}")
        reloaded = run("systemctl", "reload", "nginx")
        if reloaded.returncode != 0:
            raise CertificateError(f"Nginx was not reloaded: {reloaded.stderr.strip()}")
        chain = (self.directory / site.name / "live" / "fullchain.pem").read_text(encoding="utf-8")
        wanted = ssl.PEM_cert_to_DER_cert(PEM.search(chain)[0])  # type: ignore[index]
        until = time.monotonic() + SERVED_TIMEOUT
        while served(site.domains[0], self.settings.proxy_protocol) != wanted:
            if time.monotonic() > until:
                raise CertificateError(
                    "Nginx was reloaded and still serves another certificate; see /var/log/nginx/error.log."
                )
            time.sleep(0.1)

    def forget(self) -> list[str]:
        """Remove the certificates of sites that are no more, and give their names."""
        wanted = {site.name for site in self.settings.sites}
        gone = []
        for folder in sorted(path for path in self.directory.iterdir() if path.is_dir() and path.name not in wanted):
            made = [path for path in folder.iterdir() if MADE.fullmatch(path.name)]
            if not made:
                continue
            if MADE.fullmatch(self.live(folder.name)):
                (folder / "live").unlink()
            for path in made:
                shutil.rmtree(path)
            with contextlib.suppress(OSError):
                folder.rmdir()
            gone.append(folder.name)
        return gone


def served(domain: str, proxy_protocol: bool) -> bytes:
    """The certificate that this host's Nginx shows for a domain; empty when it shows none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = (
        None
        if canonical(domain) != domain.lower() or domain[-1].isdigit() or ":" in domain
        else domain.replace("*", "any")
    )
    try:
        with socket.create_connection(("127.0.0.1", 443), timeout=5) as plain:
            if proxy_protocol:
                plain.sendall(b"PROXY TCP4 127.0.0.1 127.0.0.1 443 443\r\n")
            with context.wrap_socket(plain, server_hostname=name) as connection:
                return connection.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


class AsAuthorities(urllib.request.HTTPRedirectHandler):
    """Follows a redirect where an authority would, so that nobody leads root to what only this host reaches."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        """The request to follow; raises CertificateError when it is for an address or no port of the web."""
        url = urlsplit(arguments[-1])
        ports = {"http": url.port or 80, "https": url.port or 443}
        if ports.get(url.scheme) not in (80, 443) or is_address(url.hostname or ""):
            raise CertificateError(f"it redirects to {plain(arguments[-1])}, where no authority follows")
        return super().redirect_request(*arguments)


def fetch(url: str) -> str:
    """The beginning of what the web answers within FETCH_TIMEOUT; raises CertificateError with what went wrong."""
    answers: queue.SimpleQueue[str | CertificateError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(answer_of(url))
        except CertificateError as error:
            answers.put(error)

    # Time-outs of sockets begin again with each byte, and a server of somebody else could hold up all sites.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=FETCH_TIMEOUT)
    except queue.Empty:
        raise CertificateError(f"no answer within {FETCH_TIMEOUT} s") from None
    if isinstance(answer, CertificateError):
        raise answer
    return answer


def answer_of(url: str) -> str:
    """The beginning of what the web answers, however long that takes; raises CertificateError."""
    # As an authority does, redirects are followed, and nobody asks for a certificate that is yet to come.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls, no_proxy = urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(tls, no_proxy, AsAuthorities())
    try:
        with opener.open(url, timeout=FETCH_TIMEOUT) as answer:
            return str(answer.read(1000).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        server = plain(error.headers.get("Server", ""))
        raise CertificateError(f"status {error.code} was answered{f' by {server}' if server else ''}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):
            raise CertificateError("the name does not resolve") from None
        raise CertificateError(str(getattr(error.reason, "strerror", None) or error.reason)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise CertificateError(plain(str(error) or type(error).__name__)) from None


def plain(text: str) -> str:
    """What somebody else wrote, as a short text that does nothing to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:60])


def is_address(name: str) -> bool:
    """Whether it is an IP address and no name."""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


@contextlib.contextmanager
def challenge() -> Iterator[tuple[str, str]]:
    """A challenge file of our own, as its path in a URL and its text, for as long as the block lasts."""
    CHALLENGES.mkdir(mode=0o755, parents=True, exist_ok=True)
    file, text = CHALLENGES / f"preflight-{secrets.token_hex(8)}", secrets.token_hex(16)
    file.write_text(text, encoding="utf-8")
    try:
        yield f"/.well-known/acme-challenge/{file.name}", text
    finally:
        file.unlink()


def unreachable(domains: list[str]) -> list[str]:
    """A sentence for each domain at which an authority would not find this host."""
    problems = []
    with challenge() as (path, text):
        for domain in domains:
            try:
                if fetch(f"http://{domain}{path}").strip() != text:
                    raise CertificateError("another server answered")
            except CertificateError as trouble:
                problems.append(
                    f"http://{domain}{path} did not reach this host ({trouble}), so the authority was not asked; "
                    f"point {domain} to this load balancer and let port 80 through."
                )
    return problems


def issue(site: Site, settings: Settings, *options: str) -> tuple[Path, Path]:
    """Have the authority issue a certificate; chain and key. Raises CertificateError with what certbot said."""
    forget_lineage(site.name)
    if settings.preflight and (problems := unreachable(site.domains)):
        raise CertificateError(" ".join(problems))
    domains = [part for domain in site.domains for part in ("--domain", domain)]
    command = ["certbot", "certonly", "--config", str(DIRECTORY / "certbot.ini"), "--cert-name", site.name]
    command += ["--server", settings.authority]
    environment = {"REQUESTS_CA_BUNDLE": trusted(settings.ca_bundle)} if settings.ca_bundle else {}
    done = run(*command, *domains, *options, timeout=ISSUE_TIMEOUT, **environment)
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or " ".join(done.stdout.split())
        raise CertificateError(f"certbot got no certificate from {settings.authority}: {said}")
    folder = CERTBOT / "config" / "live" / site.name
    return folder / "fullchain.pem", folder / "privkey.pem"


def trusted(bundle: str) -> str:
    """Return the path of a file with certificates; raises CertificateError when it is none, before certbot stumbles."""
    with tempfile.TemporaryDirectory() as folder:
        if not PEM.search(copy(Path(bundle), folder).read_text(encoding="utf-8", errors="replace")):
            raise CertificateError(f"{bundle} (nginx_acme_ca_bundle) has no certificate of an authority, in PEM.")
    return bundle


def forget_lineage(site: str) -> None:
    """Remove certbot's own copy of the certificate of a site."""
    for name in (f"live/{site}", f"archive/{site}"):
        shutil.rmtree(CERTBOT / "config" / name, ignore_errors=True)
    (CERTBOT / "config" / "renewal" / f"{site}.conf").unlink(missing_ok=True)


def bring_up_to_date(site: Site, store: Store, now: float, always: bool) -> str:
    """Do what is due for one site; what was done in a sentence, or nothing. Raises CertificateError."""
    if site.mode == "self-signed":
        if not MADE.fullmatch(store.live(site.name)):
            return ""
        store.switch(site, "self-signed")
        return f"{site.name}: serves a self-signed certificate."
    if site.mode == "files":
        # A copy, so that what is looked at is what is served, whoever else may write the files.
        with tempfile.TemporaryDirectory() as folder:
            chain, key = (copy(Path(path), folder) for path in (site.chain, site.key))
            if problem := problem_of_pair(chain, key, site.domains, now):
                raise CertificateError(problem.replace(folder, ""))
            return f"{site.name}: serves the certificate {site.chain}." if store.install(site, chain, key) else ""
    certificate, current = store.current(site)
    reason = reason_to_issue(certificate, current, site, store.settings, now)
    if not reason and not always:
        return ""
    try:
        store.install(site, *issue(site, store.settings), store.settings.authority)
    finally:
        forget_lineage(site.name)
    return f"{site.name}: serves a new certificate, because {reason or 'it was asked for'}."


def alarm(site: Site, store: Store, now: float) -> str:
    """A sentence when the certificate that a site serves ends before long."""
    certificate = read_certificate(store.directory / site.name / "live" / "fullchain.pem")
    if certificate is None or now < certificate.at(ALARM_AFTER):
        return ""
    return f"the certificate that it serves ends at {moment(certificate.ends)}."


def moment(seconds: float) -> str:
    """A time as people read it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def show(site: Site, store: Store, now: float) -> str:
    """What there is to know of the certificate of a site, in a line."""
    certificate = read_certificate(store.directory / site.name / "live" / "fullchain.pem")
    if certificate is None:
        return f"{site.name}: no certificate."
    days = (certificate.ends - now) / 86400
    renewal = f", renewal from {moment(certificate.at(RENEW_AFTER))}" if site.mode == "letsencrypt" else ""
    names = ", ".join(sorted(certificate.names))
    return f"{site.name}: {names}; {store.live(site.name)} of {certificate.issuer}; {days:.1f} days left{renewal}."


def renew(store: Store, named: list[str]) -> int:
    """Do what is due for every site; one that fails stops no other. Gives the exit status."""
    failed = 0
    for site in store.settings.sites:
        try:
            done = bring_up_to_date(site, store, time.time(), site.name in named)
            problem = alarm(site, store, time.time())
        except (CertificateError, OSError) as error:
            done, problem = "", str(error)
        if done:
            print(done, flush=True)
        if problem:
            print(f"{site.name}: {problem}", file=sys.stderr, flush=True)
            failed = 1
    for name in store.forget():
        print(f"{name}: its certificates are removed.")
    return failed


def rehearse(store: Store) -> int:
    """Let the authority check every site without issuing anything. Gives the exit status."""
    failed = 0
    for site in store.settings.sites:
        if site.mode != "letsencrypt":
            continue
        try:
            issue(site, store.settings, "--dry-run")
            print(f"{site.name}: the authority would issue a certificate.")
        except (CertificateError, OSError) as error:
            print(f"{site.name}: {error}", file=sys.stderr)
            failed = 1
    return failed


def main() -> int:
    """Do what the command line says, one at a time on this host."""
    parser = argparse.ArgumentParser(description="Keep the certificates of this host's sites.")
    parser.add_argument("action", choices=["renew", "dry-run", "show"])
    parser.add_argument("sites", nargs="*", help="sites to renew, due or not")
    arguments = parser.parse_args()
    os.umask(0o022)
    store = Store(read_settings(DIRECTORY / "certificates.json"))
    if unknown := set(arguments.sites) - {site.name for site in store.settings.sites if site.mode == "letsencrypt"}:
        parser.error(f"{', '.join(sorted(unknown))} has no certificate of an authority on this host.")
    if arguments.action == "show":
        print("\n".join(show(site, store, time.time()) for site in store.settings.sites))
        return 0
    with alone():
        if arguments.action == "dry-run":
            return rehearse(store)
        return renew(store, arguments.sites)


if __name__ == "__main__":
    sys.exit(main())
