# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a build needs of the host: commands in a sandbox, as an account of their own, and its way to the network."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import private_folder
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError, quote

PATH = "/usr/local/bin:/usr/bin:/bin"
SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

# Seconds until a process that was killed must be gone.
END_TIMEOUT = 10

# Exit codes of systemd for what it could not prepare.
NOT_STARTED = {200: "CHDIR", 217: "USER", 218: "CAPABILITIES", 226: "NAMESPACE", 228: "SECCOMP"}


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
    """A user of the host; without a name it is whoever runs this."""

    name: str | None
    uid: int = field(default_factory=os.geteuid)
    gid: int = field(default_factory=os.getegid)

    @classmethod
    def find(cls, name: str) -> Account:
        """The user; before there is one, nobody. Who is not root builds as who they are."""
        if os.geteuid() != 0:
            return cls(None)
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            entry = pwd.getpwnam("nobody")
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)

    def own(self, path: Path) -> None:
        """Give a tree to the user, by descriptors; links are never followed."""
        if self.name is None:
            return
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        if path.is_symlink() or not path.is_dir():
            return
        for _root, folders, files, descriptor in os.fwalk(path, follow_symlinks=False):
            for name in [*folders, *files]:
                os.chown(name, self.uid, self.gid, dir_fd=descriptor, follow_symlinks=False)

    def end(self) -> None:
        """Kill every process of the user; raises `ReleaseError` when one does not end."""
        if self.name in (None, "nobody"):
            return
        until = time.monotonic() + END_TIMEOUT
        while processes := processes_of(self.uid):
            if time.monotonic() > until:
                raise ReleaseError(
                    f"Process {processes[0]} of the user {self.name} did not stop within {END_TIMEOUT} s: "
                    "stop it, then run again."
                )
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)


def processes_of(uid: int) -> list[int]:
    """The ids of all processes of a user, zombies apart.

    The owner of a folder in /proc does not tell: it is root's when a process lets nobody look into it.
    """
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            lines = Path(entry.path, "status").read_text(errors="replace").splitlines()
            status = {key: value.split() for key, _colon, value in (line.partition(":") for line in lines)}
            if str(uid) in status["Uid"] and status["State"][0] not in "ZX":
                found.append(int(entry.name))
    return found


@dataclass(frozen=True)
class Confinement:
    """As whom and in which sandbox a command runs: a transient unit, where this is run by root.

    The unit's control group ends with the command. Its environment is in a file that root alone can read.
    """

    account: Account
    unit: str = ""
    lines: Sequence[str] = ()


def run(
    command: Sequence[str | Path],
    confinement: Confinement,
    environment: Mapping[str, str],
    *,
    folder: Path,
    timeout: float = 1800,
) -> tuple[int, str]:
    """Run a command in a clean environment; returns its exit code and output.

    A command that outlives `timeout` seconds is killed with everything it started, and its code is 124.
    """
    words = [str(word) for word in command]
    clean = {"PATH": PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **environment}
    if confinement.account.name is None or not confinement.unit:
        return _run_here(words, clean, folder, timeout)
    descriptor, name = tempfile.mkstemp(prefix="environment-", dir=private_folder())
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{key}={quote(value)}\n" for key, value in clean.items())
        settings = [
            *confinement.lines,
            f"User={confinement.account.name}",
            f"EnvironmentFile={name}",
            f"WorkingDirectory={folder}",
            f"RuntimeMaxSec={timeout:g}",
            # What a command has left behind ends with it at once; one that has no ear for SIGTERM would fail the unit.
            "KillSignal=SIGKILL",
            "TimeoutStopSec=10",
        ]
        systemd = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={confinement.unit}"]
        systemd += [f"--property={line}" for line in settings]
        systemd += ["--", *(word.replace("$", "$$") for word in words)]
        began = time.monotonic()
        # Where systemd itself hangs there is a limit too.
        code, output = _run_here(systemd, dict(os.environ), Path("/"), timeout + 60)
    finally:
        Path(name).unlink()
    if code and time.monotonic() - began >= timeout:
        return 124, output
    if code in NOT_STARTED and not output.strip():
        return code, f"systemd cannot make the sandbox of {words[0]} ({NOT_STARTED[code]}); see journalctl -e."
    return code, output


def _run_here(words: Sequence[str], environment: Mapping[str, str], folder: Path, timeout: float) -> tuple[int, str]:
    # A file and not a pipe: a background process of the app that keeps it open must not keep us waiting.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment),
                umask=0o022,
                start_new_session=True,
            )
        except OSError as error:
            return 127, f"{words[0]}: {error.strerror}"
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = 124
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")
