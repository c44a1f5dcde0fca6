# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of an app that Nginx serves itself: copies in a folder of Nginx's, which is all that it can enter.

    public/releases/RELEASE/FOLDER    the files of a release, as long as there is the release
    public/current -> releases/RELEASE    what Nginx serves; `switch` turns it with the app's own `current`

There is room beside these for what belongs to no release.
"""

from __future__ import annotations

import json
import posixpath
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils.release_rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils.release_take import take

# Says which folders the copy of a release has.
COPIED = ".copied.json"


@dataclass(frozen=True)
class Public:
    """What Nginx may read of the app in `directory`."""

    directory: Path
    warn: Callable[[str], None]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.directory / "public" / "releases"

    def publish(self, releases: Sequence[str], folders: Sequence[str], *, check: bool) -> bool:
        """Let these releases, and no others, have copies of these folders; returns whether something changes."""
        wanted = sorted({posixpath.normpath(folder.strip("/")) for folder in folders})
        present = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        stale = [name for name in releases if self._has(name) != wanted and (wanted or name in present)]
        gone = sorted(present - set(releases))
        if not check:
            for name in gone:
                shutil.rmtree(self.folder / name)
            for name in stale:
                self._copy(name, wanted)
        return bool(stale or gone)

    def _has(self, release: str) -> list[str]:
        try:
            found = json.loads((self.folder / release / COPIED).read_text())
        except (OSError, ValueError):
            return []
        return found if isinstance(found, list) else []

    def _copy(self, release: str, folders: Sequence[str]) -> None:
        self.folder.mkdir(mode=0o755, exist_ok=True)
        new, old = self.folder / f".{release}.new", self.folder / f".{release}.old"
        for path in (new, old):
            if path.exists():
                shutil.rmtree(path)
        new.mkdir(mode=0o755)
        for folder in folders:
            self._copy_folder(self.directory / "releases" / release, folder, new)
        (new / COPIED).write_text(json.dumps(list(folders)))
        known = self.folder / release
        if known.exists():
            known.rename(old)
        new.rename(known)
        shutil.rmtree(old, ignore_errors=True)

    def _copy_folder(self, release: Path, folder: str, target: Path) -> None:
        left: list[str] = []

        def keep(path: str, named: str) -> bool:
            # Nginx follows links, so none may lead out of the folder.
            there = posixpath.normpath(posixpath.join(posixpath.dirname(path), named))
            kept = not posixpath.isabs(named) and there.split("/")[0] != ".."
            left.extend([] if kept else [path])
            return kept

        (target / folder).parent.mkdir(parents=True, exist_ok=True)
        try:
            # By descriptors: the releases of earlier versions belong to the app's user, who may change them meanwhile.
            take(release, target / folder, below=f"src/{folder}", keep_link=keep)
        except ReleaseError as error:
            shutil.rmtree(target / folder, ignore_errors=True)
            self.warn(f"app_static: Nginx gets no {folder} of release {release.name}: {error}")
        if left:
            self.warn(f"app_static: {left[0]} in {folder} is a link out of it, so Nginx does not get it.")
