# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One deploy of an app at a time: a file on each of its servers that says who deploys what, and until when.

A lock is a promise with an end (a lease): whoever holds it has to renew it, so a deploy that was killed blocks nobody
for longer than that. It is taken, renewed and freed under a lock of the kernel, so two deploys never both hold it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._deploy.history import History, ended_well
from ansible_collections.production.fastapi.plugins.module_utils._host.record_file import (
    close_folder,
    replace_record,
)
from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import hold
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE

FILE = "deploy.lock"

# Seconds: whoever reads or writes the file is done in a moment.
WAIT = 30.0


class LockError(Exception):
    """One sentence for the user; `lock` is the one in the way, None when there is none."""

    def __init__(self, message: str, lock: Lock | None = None) -> None:
        """What to say and whose lock it is."""
        super().__init__(message)
        self.lock = lock


def is_unfinished(root: Path, name: str, live: str) -> bool:
    """Whether a deploy of the app goes on, was killed, or has failed with the live release."""
    return DeployLock(name, root).file.exists() or not ended_well(History(root, name).read(), live)


def deploy_of(controller: Mapping[str, str]) -> str:
    """The name of the deploy that a process does, the same on all hosts and for as long as it runs."""
    return hashlib.sha256(json.dumps(dict(controller), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Lock:
    """Who deploys what; times are seconds since 1970 by the clock of the host that has the file."""

    owner: str  # as anna@laptop
    deploys: str  # the release, or its source in words
    controller: Mapping[str, str]  # the process that deploys: host, boot, namespace, pid, started
    since: float
    expires: float
    before: str = ""  # the release that was live when the deploy began, empty for none

    @property
    def deploy(self) -> str:
        """Names the deploy."""
        return deploy_of(self.controller)

    def sentence(self, name: str, now: float) -> str:
        """Who deploys, since when, and until when."""
        minutes = max(0, round((now - self.since) / 60))
        what = f"{name} ({self.deploys})" if self.deploys else name
        began = f"{self.owner} deploys {what} since {_clock(self.since)} ({minutes} min)"
        if self.expires <= now:
            return (
                f"{began} and gave no sign of life until {_clock(self.expires)}; the next deploy takes over the lock."
            )
        return f"{began}; its lock ends at {_clock(self.expires)} unless it gives a sign of life."


@dataclass(frozen=True)
class DeployLock:
    """The lock of one app on this host."""

    name: str
    root: Path = Path("/")

    @property
    def file(self) -> Path:
        """Where it is; it survives a reboot, as the half of a deploy does."""
        return self.root / STATE / self.name / FILE

    def read(self) -> Lock | None:
        """The lock as it is, None when nobody holds one; a file that is none counts as none."""
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
            wanted = {field.name for field in fields(Lock)}
            return Lock(**{key: value for key, value in known.items() if key in wanted})
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def take(
        self,
        owner: str,
        deploys: str,
        controller: Mapping[str, str],
        timeout: float,
        *,
        before: str = "",
        instead_of: str = "",
    ) -> Lock:
        """Take the lock for `timeout` seconds, or renew it when it is ours.

        One that has expired is taken over, and so is that of the deploy `instead_of`, which the caller knows is dead.
        Where the release of a deploy that is taken over is live already, the new lock keeps its `before`: that is what
        there is to go back to.
        Raises LockError when somebody else deploys.
        """
        with self._alone():
            now = time.time()
            found = self.read()
            wanted = Lock(owner, deploys, controller, now, now + timeout, before)
            if found and found.deploy == wanted.deploy:
                wanted = Lock(**asdict(found) | {"deploys": deploys, "expires": now + timeout})
            elif found and found.expires > now and found.deploy != instead_of:
                raise LockError(
                    f"{found.sentence(self.name, now).rstrip('.')}: wait, or break the lock with the playbook lock, "
                    "-e state=broken.",
                    found,
                )
            elif found:
                wanted = Lock(**asdict(wanted) | {"before": found.before if before == found.deploys else before})
            self._write(wanted)
            return wanted

    def keep(self, deploy: str, timeout: float) -> Lock:
        """Renew that of `deploy` for another `timeout` seconds; raises LockError when it does not hold it any more."""
        with self._alone():
            now = time.time()
            found = self.read()
            if found is None or found.deploy != deploy:
                by = f" {found.sentence(self.name, now)}" if found else ""
                raise LockError(f"The lock of this deploy of {self.name} was broken, so it ends here.{by}", found)
            kept = Lock(**asdict(found) | {"expires": now + timeout})
            self._write(kept)
            return kept

    def release(self, deploy: str) -> bool:
        """Give that of `deploy` back; False when there is none, or it is somebody else's."""
        with self._alone():
            found = self.read()
            if found is None or found.deploy != deploy:
                return False
            self.file.unlink()
            return True

    def break_(self) -> Lock | None:
        """Remove the lock, whoever holds it; returns it."""
        if not self.file.exists():
            return None
        with self._alone():
            found = self.read()
            self.file.unlink(missing_ok=True)
            return found

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else reads and writes meanwhile; a killed process holds nothing."""
        close_folder(self.file.parent)
        doing = f"reads or writes who deploys {self.name}"
        with hold(f"{self.name}.deploy", doing, root=self.root, timeout=WAIT, error=LockError):
            yield

    def _write(self, lock: Lock) -> None:
        replace_record(self.file, json.dumps(asdict(lock), indent=1) + "\n")


def in_the_way(name: str, root: Path = Path("/")) -> str:
    """Who deploys the app now, in a sentence; empty when nobody does."""
    found, now = DeployLock(name, root).read(), time.time()
    if found is None or found.expires <= now:
        return ""
    return found.sentence(name, now)


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M UTC")
