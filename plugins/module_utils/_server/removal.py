# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes an app from a host, or all that the roles have made there.

What is to go is read from the host, so that an app can be removed whose variables are gone. The manifest of its files
goes last: a removal that was killed is found by it, and finished by the next one. What this collection has not made
stays, and is named.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._config_tree.commands import parse_commands
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.entries import remove_if_empty
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.transaction import ConfigTree
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import in_the_way
from ansible_collections.production.fastapi.plugins.module_utils._host.installed import (
    LEFT,
    TRANSACTION,
    installed_apps,
    installed_sites,
    left_data,
)
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import UNIT_FOLDER, Host
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account

SITES = "etc/ssl/sites"
PROGRAMS = "opt/production.fastapi"
CHALLENGES = "var/www/acme"
PRIVATE = "run/production.fastapi.private"
SENTINEL = "var/lib/redis-sentinel"
# What the roles make below /srv/NAME beside the data in `shared`.
OF_RELEASES = ("current", ".current.new", "releases", "public", "build")
# A certificate of ours in the folder of its site.
MADE = re.compile(r"self-signed|\.new|\.live|(letsencrypt|files)-[0-9a-f]{16}")
# Where files of an account are looked for that nobody has said anything of.
SEARCHED = ("etc", "home", "opt", "srv", "tmp", "usr/local", "var")
SEARCH_TIMEOUT = 60
SHOWN = 5
RUNS = ("active", "activating", "reloading", "deactivating")
# Longer than any time-out in a unit, in seconds.
STOP_TIMEOUT = 3700

# How each service goes on without our files, in the order in which they leave. Its package may be gone already.
WITHOUT: dict[str, list[str | list[str]]] = {
    "keepalived": [
        "systemctl daemon-reload",
        [
            "sh",
            "-c",
            "if test -s /etc/keepalived/keepalived.conf; then systemctl try-reload-or-restart keepalived; "
            "else systemctl disable --quiet --now keepalived || true; fi",
        ],
    ],
    # Stopped while its unit still says with which status it ends.
    "nginx-exporter": [
        ["sh", "-c", "systemctl disable --quiet --now prometheus-nginx-exporter || true"],
        "systemctl daemon-reload",
    ],
    "nginx": [
        # While systemd still knows them: a timer whose service is gone has failed.
        ["sh", "-c", "systemctl stop site-certificates.timer site-certificates.service || true"],
        "systemctl daemon-reload",
        ["sh", "-c", "command -v nginx >/dev/null || exit 0; nginx -t -q && systemctl try-reload-or-restart nginx"],
    ],
    "redis": [
        ["sh", "-c", "test ! -e /run/redis-sentinel || systemctl stop redis-sentinel"],
        "systemctl daemon-reload",
        ["sh", "-c", "command -v redis-server >/dev/null || exit 0; systemctl try-restart redis-server"],
    ],
}
# In the state of the collection, beside manifests and the folders of apps.
OWN_STATE = ("certbot", "drained", "maintenance")


class RemovalError(Exception):
    """A sentence for the person who removes."""


@dataclass
class Removal:
    """What goes from a host, or would go in check mode, and what `stays` of it, a phrase each."""

    host: Host
    data: bool = False
    check: bool = False
    gone: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The root of the host."""
        return self.host.root

    def app(self, name: str) -> None:
        """Take an app from the host; raises RemovalError while somebody deploys it."""
        if doing := in_the_way(name, self.root):
            raise RemovalError(f"{doing.rstrip('.')}: wait, or break the lock with the playbook lock, -e state=broken.")
        folder = self.root / "srv" / name
        known = name in installed_apps(self.root)
        # Without releases it is an app that the role gunicorn alone has found somewhere.
        built = (folder / "releases").is_dir() or name in left_data(self.root) or bool(self._account(name))
        if known:
            self._units(name)
        if built:
            accounts = [user for user in map(self._account, (name, f"{name}_")) if user]
            for user in accounts if not self.check else ():
                Account(user.pw_name, user.pw_uid, user.pw_gid).end()
            self._folder(folder)
            for user in accounts:
                self._user(user, folder)
        if known:
            self._transaction(f"{TRANSACTION}{name}", ["systemctl daemon-reload"])
            self._rest(self.root / "etc" / name)
        self._site(name)
        self._state(name, known)

    def everything(self) -> None:
        """Take all apps from the host, then the services' files, certificates and programs of ours."""
        for name in dict.fromkeys([*installed_apps(self.root), *left_data(self.root)]):
            self.app(name)
        for name, apply in WITHOUT.items():
            if (self.root / STATE / f"{name}.json").exists():
                self._transaction(name, apply)
        for folder in sorted((self.root / SITES).glob("*/")):
            self._site(folder.name)
        remove_empty(self.root / SITES, self.check)
        for path in (PROGRAMS, CHALLENGES, PRIVATE, SENTINEL, *(f"{STATE}/{own}" for own in OWN_STATE)):
            self._remove(self.root / path)
        if not self.check:
            for lock in (self.root / "run").glob("production.fastapi.*.lock"):
                lock.unlink()
        remove_empty(self.root / STATE, self.check)

    # The parts

    def _units(self, name: str) -> None:
        """Stop all that runs of the app, for good."""
        files = map(Path, self._files(f"{TRANSACTION}{name}"))
        units = sorted(path.name for path in files if str(path.parent) == UNIT_FOLDER)
        # With what a build or an operator's command has of it.
        patterns = [*(unit.replace("@.", "@*.") for unit in units), f"{name}.run-*.service"]
        _unused, printed = self.host.systemctl("list-units", "--all", "--plain", "--no-legend", *patterns)
        loaded = [line.split() for line in printed.splitlines() if line.split()]
        self.gone += [f"unit {unit} ({state})" for unit, _loaded, state, *_unused in loaded if state in RUNS]
        starts = [link for link in self._links() if link.name in units or _template(link.name) in units]
        self.gone += [f"start of {link.name} with the host" for link in starts]
        if self.check:
            return
        if stopping := [words[0] for words in loaded]:
            done, said = self.host.systemctl("stop", *stopping, timeout=STOP_TIMEOUT)
            if not done:
                raise RemovalError(f"The units of {name} do not stop: {said.strip()}")
            self.host.systemctl("reset-failed", *stopping)
        for link in starts:
            link.unlink()
            remove_if_empty(link.parent)
        for unit in units:
            (self.root / f"var/lib/systemd/timers/stamp-{unit}").unlink(missing_ok=True)
            shutil.rmtree(self.root / f"run/systemd/system.control/{unit}.d", ignore_errors=True)
        shutil.rmtree(self.root / "run" / name, ignore_errors=True)
        for lock in (self.root / PRIVATE).glob(f"{name}.*lock"):
            lock.unlink()

    def _links(self) -> Iterator[Path]:
        """The links that start units with the host."""
        for kind in ("wants", "requires"):
            yield from sorted(self.host.at(UNIT_FOLDER).glob(f"*.{kind}/*"))

    def _folder(self, folder: Path) -> None:
        """The releases go; the data goes where it is empty, or where that is asked for, and else belongs to root."""
        for part in OF_RELEASES:
            self._remove(folder / part)
        shared = folder / "shared"
        if shared.is_dir() and not self.data and any(shared.iterdir()):
            self.stays.append(f"{self._name(shared)} with {amount(shared)}; -e data=true removes it too")
            if not self.check:
                # Else it would belong to whoever gets the number of the account next.
                Account("root", 0, 0).own(shared)
        else:
            self._remove(shared)
        self._rest(folder, known={"shared", *OF_RELEASES})

    def _user(self, user: pwd.struct_passwd, folder: Path) -> None:
        """An account of the app goes; what it owns outside of the folder of the app is named."""
        name = user.pw_name
        self.gone.append(f"user {name}")
        if found := list(self._owned(user.pw_uid, folder)):
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            self.stays.append(f"files of the user {name}: {', '.join(found[:SHOWN])}{more}")
        if self.check:
            return
        self._run("userdel", name)
        with contextlib.suppress(KeyError):
            if not grp.getgrnam(name).gr_mem:
                self._run("groupdel", name)

    def _account(self, name: str) -> pwd.struct_passwd | None:
        """The user of this name if the role app has made it: then its home says so."""
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            return None
        home = "/nonexistent" if name.endswith("_") else f"/srv/{name}/shared"
        return user if user.pw_dir == home else None

    def _owned(self, uid: int, folder: Path) -> Iterator[str]:
        """What an account owns outside of a folder, on the file systems where that is likely."""
        searched = [str(self.root / path) for path in SEARCHED if (self.root / path).is_dir()]
        command = ["find", "-H", *searched, "-xdev", "-path", str(folder), "-prune", "-o", "-uid", str(uid), "-print"]
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            done = subprocess.run(command, capture_output=True, text=True, timeout=SEARCH_TIMEOUT, check=False)  # pylint: disable=ansible-bad-function
            yield from done.stdout.splitlines()

    def _files(self, transaction: str) -> dict[str, dict[str, bool]]:
        """The files of a transaction, by the manifest."""
        path = self.root / STATE / f"{transaction}.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))["files"])
        except (KeyError, TypeError, ValueError) as error:
            raise RemovalError(f"{self._name(path)} is damaged ({error}); run site to write it again.") from error

    def _transaction(self, name: str, apply: Iterable[str | list[str]]) -> None:
        """All files of a transaction go, and what they had displaced comes back."""
        displaced = [path for path, flags in self._files(name).items() if flags.get("displaced")]
        commands = parse_commands("apply", list(apply))
        result = ConfigTree(name=name, files=[], apply=commands, check=self.check, root=self.root).run()
        back = ", and the file that was there before comes back"
        self.gone += [f"{path}{back if path in displaced else ''}" for path in result.files]
        self.stays += result.warnings
        if not self.check:
            (self.root / f"run/production.fastapi.{name}.lock").unlink(missing_ok=True)

    def _site(self, name: str) -> None:
        """The certificates of a site that Nginx does not serve any more."""
        folder = self.root / SITES / name
        if not folder.is_dir() or (name in installed_sites(self.root) and not self.check):
            return
        live = folder / "live"
        if live.is_symlink() and MADE.fullmatch(str(live.readlink())):
            self._remove(live)
        for path in sorted(folder.iterdir()):
            if MADE.fullmatch(path.name):
                self._remove(path)
        self._rest(folder, known={"live"})
        self._remove(self.root / STATE / "maintenance" / name)

    def _state(self, name: str, known: bool) -> None:
        """The history goes; where data stays there is a note of it, by which the app is still known."""
        folder, shared = self.root / STATE / name, self.root / "srv" / name / "shared"
        stays = shared.is_dir() and not self.data and any(shared.iterdir())
        if not folder.is_dir() and not stays:
            return
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.name != LEFT or not stays:
                self._remove(path)
        if not stays or self.check or ((folder / LEFT).exists() and not known):
            remove_empty(folder, self.check)
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        note = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "folder": self._name(shared)}
        (folder / LEFT).write_text(json.dumps(note) + "\n", encoding="utf-8")

    # Helpers

    def _remove(self, path: Path) -> None:
        """Remove a file, a link or a folder with all in it; a file system that is mounted there stays, empty."""
        if not os.path.lexists(path):
            return
        self.gone.append(self._name(path))
        if self.check:
            return
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif path.is_mount():
            for item in path.iterdir():
                self._remove(item)
            self.stays.append(f"{self._name(path)}, on which a file system is mounted")
        else:
            shutil.rmtree(path)

    def _rest(self, folder: Path, known: Iterable[str] = ()) -> None:
        """Remove a folder of the app, unless there is something in it that the roles have not made."""
        if not folder.is_dir():
            return
        others = sorted(path.name for path in folder.iterdir() if path.name not in set(known))
        if others and not self.check:
            self.stays.append(f"{self._name(folder)} with {', '.join(others[:SHOWN])}, which the roles have not made")
        remove_empty(folder, self.check)

    def _name(self, path: Path) -> str:
        return f"/{path.relative_to(self.root)}"

    @staticmethod
    def _run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # pylint: disable=ansible-bad-function
        if done.returncode:
            raise RemovalError(f"{' '.join(command)} failed: {done.stderr.strip()}")


def _template(unit: str) -> str:
    """The unit file of an instance: `shop@.service` of `shop@abc.service`."""
    return re.sub(r"@.+(?=\.[a-z]+$)", "@", unit)


def remove_empty(path: Path, check: bool) -> None:
    """Remove a folder that has nothing in it."""
    if not check:
        remove_if_empty(path)


def amount(folder: Path) -> str:
    """How much there is in a folder, for a person."""
    sizes = [os.lstat(Path(parent, name)).st_size for parent, _unused, names in os.walk(folder) for name in names]
    size = sum(sizes)
    shown = f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size} bytes"
    return f"{len(sizes)} file{'' if len(sizes) == 1 else 's'} ({shown})"
