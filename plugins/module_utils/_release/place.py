# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a release is built: a folder that no account but root reaches, shown to the units of the build alone.

In those units it lies where the release will lie, because a virtualenv cannot be moved. What one unit may see:

- *fetch* (git, ssh): the source, the git mirror, and the secrets of the repository. Nothing of the app runs.
- *wheels* (uv): the release and uv's cache. No file of a package can be executed, so what stays in the cache is what
  the index has sent.
- *build* (build backends): the source with its history, and the virtualenv, with an empty cache. What they write ends
  with them.
- *compile*: the finished release, read-only, and the cache of bytecode. Nothing of a package runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox import build_sandbox
from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import private_folder
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account, Confinement

# Where a unit that fetches finds the secrets of the repository or index, and where all find what root tells them.
SECRETS = Path("/run/fetch")
NOTES = Path("/run/notes")


@dataclass(frozen=True)
class Place:
    """Where the release at `path` of the app `name` is built, by `account`, below the app's `directory`."""

    name: str
    directory: Path
    path: Path
    account: Account

    @property
    def confined(self) -> bool:
        """Whether there are units; who is not root builds where the release will lie."""
        return self.account.name is not None

    @property
    def closed(self) -> Path:
        """The folder that only root can enter."""
        return self.directory / "build"

    @property
    def work(self) -> Path:
        """The release under way, as root sees it."""
        return self.closed / "release"

    @property
    def seen(self) -> Path:
        """The release under way, as the units see it."""
        return self.path if self.confined else self.work

    @property
    def source(self) -> Path:
        """The app's source, as the units see it."""
        return self.seen / "src"

    @property
    def venv(self) -> Path:
        """The virtualenv, as the units see it."""
        return self.seen / "venv"

    @property
    def notes(self) -> Path:
        """What root tells the units in files, as they see it."""
        return NOTES if self.confined else self.closed / "notes"

    @property
    def git(self) -> Path:
        """The git mirrors and the host keys of their servers, as the units see it."""
        return self.seen / "git"

    @property
    def cache(self) -> Path:
        """uv's cache, as the units see it."""
        return self.seen / "cache"

    @property
    def has_cache(self) -> bool:
        """Whether the folders for a build are there; before the first one they are not."""
        return self.outside(self.git).is_dir()

    def outside(self, path: Path) -> Path:
        """Where root finds what the units see at `path`."""
        for seen, mine in ((self.notes, self.closed / "notes"), (self.seen, self.work)):
            if path.is_relative_to(seen):
                return mine / path.relative_to(seen)
        return path

    def inside(self, path: Path) -> Path:
        """Where the units see what root finds at `path`."""
        return self.seen / path.relative_to(self.work) if path.is_relative_to(self.work) else path

    def prepare(self) -> None:
        """Make the folders, empty but for the caches that outlive a build."""
        self.closed.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.closed.chmod(0o700)
        self.work.mkdir(mode=0o755, exist_ok=True)
        self.clear()
        self.outside(self.notes).mkdir(mode=0o755)
        made = (self.source, self.venv, self.git, self.cache)
        for folder in (*map(self.outside, made), self.bytecode, self.scratch):
            folder.mkdir(mode=0o755, exist_ok=True)
            if self.confined:
                os.chown(folder, self.account.uid, self.account.gid, follow_symlinks=False)

    def prepare_venv(self) -> None:
        """Begin again with the virtualenv."""
        venv = self.outside(self.venv)
        shutil.rmtree(venv)
        venv.mkdir(mode=0o755)
        if self.confined:
            os.chown(venv, self.account.uid, self.account.gid, follow_symlinks=False)

    def clear(self) -> None:
        """Remove what this build, or one that was killed, has left; its processes are gone."""
        for folder in (*map(self.outside, (self.source, self.venv, self.notes)), self.scratch):
            if os.path.lexists(folder):
                shutil.rmtree(folder)

    @property
    def bytecode(self) -> Path:
        """Compiled Python, named after the hash of its text and the interpreter, as root sees it."""
        return self.closed / "bytecode"

    @property
    def scratch(self) -> Path:
        """The cache of one build, as root sees it."""
        return self.closed / "scratch"

    @contextlib.contextmanager
    def secrets(self) -> Iterator[tuple[Path, Path]]:
        """A folder for the secrets of one command: its path for root, and the one that the unit sees."""
        if not self.confined:
            with tempfile.TemporaryDirectory(prefix="release-git-") as name:
                yield Path(name), Path(name)
            return
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=private_folder()) as name:
            yield Path(name), SECRETS

    def fetching(self, home: Path, seen: Path, local: Sequence[Path]) -> Confinement:
        """The unit that asks a repository; one that is on the host, at `local`, can be read there."""
        folders = [folder for folder in (self.source, self.git) if self.outside(folder).is_dir()]
        writable = [(home, seen), *((self.outside(folder), folder) for folder in folders)]
        lines = build_sandbox(writable, [(path, path) for path in local if path.exists()])
        # What a branch means is asked outside of a build, which must not end it.
        return self._unit("build-fetch" if self.source in folders else "resolve", lines)

    def unpacking(self, programs: Sequence[Path], lent: Sequence[tuple[Path, Path]] = ()) -> Confinement:
        """The unit that unpacks wheels: with the caches, and nothing else than `programs` can be executed.

        In `lent` is what it alone may read beside its notes.
        """
        readable = [*self._told, *lent]
        return self._unit("build-wheels", build_sandbox([(self.work, self.path)], readable, programs=programs))

    def building(self, lent: Sequence[tuple[Path, Path]] = ()) -> Confinement:
        """The unit in which code of packages runs, so it has neither the caches nor the notes to write in."""
        writable = [(self.outside(folder), folder) for folder in (self.source, self.venv)]
        # The mirror, because the version of an app may be what git says of it.
        readable = [*self._told, (self.outside(self.git), self.git), *lent]
        return self._unit("build-code", build_sandbox([*writable, (self.scratch, self.cache)], readable))

    def compiling(self) -> Confinement:
        """The unit that compiles what is finished."""
        # Its parts, because the folder itself is closed to the build account by now.
        readable = [(part, part) for part in (self.path / "src", self.path / "venv")] + self._told
        return self._unit("build-compile", build_sandbox([(self.bytecode, self.bytecode)], readable))

    def units(self) -> str:
        """A pattern for the names of all units of a build of this app."""
        return f"{self.name}.run-build-*.service"

    @property
    def _told(self) -> list[tuple[Path, Path]]:
        return [(self.outside(self.notes), self.notes)]

    def _unit(self, phase: str, lines: list[str]) -> Confinement:
        return Confinement(self.account, f"{self.name}.run-{phase}-{os.getpid()}.service", lines)
