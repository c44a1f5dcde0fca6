# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a build needs of the host: commands as the app's user, and its way to the network."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ansible_collections.production.fastapi.plugins.module_utils.release_rules import ReleaseError, mask_url, plain_url

PATH = "/usr/local/bin:/usr/bin:/bin"
SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Settings:
    """How the host reaches the network."""

    index_url: str = ""
    proxy: str = ""
    ca_bundle: str = ""

    def environment(self) -> dict[str, str]:
        """The settings as pip, uv, git and Python's own ssl read them."""
        result: dict[str, str] = {}
        if self.proxy:
            result |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), self.proxy)
        if self.ca_bundle:
            result |= dict.fromkeys(
                ("SSL_CERT_FILE", "PIP_CERT", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE"), self.ca_bundle
            )
        if self.index_url:
            result |= {"PIP_INDEX_URL": self.index_url, "UV_DEFAULT_INDEX": self.index_url}
        return result


@dataclass(frozen=True)
class Account:
    """The user that builds; `None` is whoever runs this."""

    name: str | None
    uid: int = field(default_factory=os.geteuid)
    gid: int = field(default_factory=os.getegid)

    @classmethod
    def find(cls, name: str) -> Account:
        """The app's user; before there is one, nobody. Who is not root builds as who they are."""
        if os.geteuid() != 0:
            return cls(None)
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            entry = pwd.getpwnam("nobody")
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)

    def own(self, path: Path) -> None:
        """Give a tree to the user; links are never followed."""
        if self.name is None:
            return
        os.lchown(path, self.uid, self.gid)
        for root, folders, files in os.walk(path):
            for name in [*folders, *files]:
                os.lchown(Path(root) / name, self.uid, self.gid)


def run(
    command: Sequence[str | Path],
    account: Account,
    environment: Mapping[str, str],
    *,
    folder: Path,
    timeout: float = 1800,
) -> tuple[int, str]:
    """Run a command as the account in a clean environment; returns its exit code and output.

    A command that outlives `timeout` seconds is killed with everything it started, and its code is 124.
    """
    identity: dict[str, object] = {}
    if account.name is not None:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    clean = {"PATH": PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **environment}
    # A file and not a pipe: a background process of the app that keeps it open must not keep us waiting.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # type: ignore[call-overload]
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=clean,
                umask=0o022,
                start_new_session=True,
                **identity,
            )
        except OSError as error:
            return 127, f"{command[0]}: {error.strerror}"
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = 124
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")


def download(url: str, target: Path, settings: Settings) -> None:
    """Fetch a URL into a file; raises `ReleaseError` when it cannot be had."""
    proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None
    address = plain_url(url)
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if address != url:
        user, _unused, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
        # Sent at once, and only to this address: many stores hide what they have instead of asking who wants it.
        passwords.add_password(None, address, unquote(user), unquote(password), is_authenticated=True)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=settings.ca_bundle or None)),
        urllib.request.HTTPBasicAuthHandler(passwords),
    )
    try:
        with opener.open(address, timeout=60) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, ValueError) as error:
        raise ReleaseError(f"app_source.archive: {mask_url(url)} cannot be fetched: {error}.") from error
