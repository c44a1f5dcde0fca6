# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of an app that Nginx serves itself: copies in a folder of Nginx's, which is all that it can enter.

    public/releases/RELEASE/FOLDER    the files of a release, as long as there is the release
    public/current -> releases/RELEASE    what Nginx serves; `switch` turns it with the app's own `current`
    public/kept/FOLDER                the files of all these releases whose names change with their contents, and those
                                      of releases that have gone since `KEPT_FOR`

There is room beside these for what belongs to no release.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils._release.take import take

# Says which folders the copy of a release has, and which of them are kept.
COPIED = ".copied.json"

# The link to the folder with the files of all releases, and how the folder begins.
KEPT = "kept"
BEHIND = ".kept-"
# Says of the files whose releases have gone since when there is none that has them.
GONE_SINCE = ".gone-since.json"
# How long a file outlives its last release (seconds), and how much all of these may be (bytes). A load balancer that is
# another machine keeps as much for as long (`proxy_cache_path` of the role nginx).
KEPT_FOR = 30 * 24 * 3600
MOST_GONE = 1 << 30


@dataclass(frozen=True)
class Public:
    """What Nginx may read of the app in `directory`."""

    directory: Path
    warn: Callable[[str], None]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.directory / "public" / "releases"

    def publish(
        self, releases: Sequence[str], folders: Sequence[str], kept: Sequence[str] = (), *, check: bool
    ) -> bool:
        """Let these releases, and no others, have copies of these folders; returns whether something changes.

        The files of those of them that are `kept` outlive their release.
        """
        stale, gone = stale_copies(releases, self.copies(), folders, kept)
        if not check:
            wanted = _wanted(folders, kept)
            for name in gone:
                shutil.rmtree(self.folder / name)
            for name in stale:
                self._copy(name, wanted)
            if gone or stale:
                keep_files(self.directory / "public")
        return bool(stale or gone)

    def copies(self) -> dict[str, dict[str, list[str]]]:
        """What there is a copy of, by the name of its release."""
        present = list(self.folder.iterdir()) if self.folder.is_dir() else []
        return {path.name: _copied(path) for path in present}

    def _copy(self, release: str, wanted: Mapping[str, Sequence[str]]) -> None:
        self.folder.mkdir(mode=0o755, exist_ok=True)
        new, old = self.folder / f".{release}.new", self.folder / f".{release}.old"
        for path in (new, old):
            if path.exists():
                shutil.rmtree(path)
        new.mkdir(mode=0o755)
        for folder in wanted["folders"]:
            if not (new / folder).exists():  # it has come with a folder that it is in
                self._copy_folder(self.directory / "releases" / release, folder, new)
        (new / COPIED).write_text(json.dumps(wanted))
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


def stale_copies(
    releases: Sequence[str], copies: Mapping[str, Any], folders: Sequence[str], kept: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The releases whose copies have to be made again, and the copies that belong to none of them."""
    wanted = _wanted(folders, kept)
    stale = [name for name in releases if copies.get(name, {}) != wanted and (wanted["folders"] or name in copies)]
    return stale, sorted(set(copies) - set(releases))


def _wanted(folders: Sequence[str], kept: Sequence[str]) -> dict[str, list[str]]:
    return {"folders": _normal(folders), KEPT: _normal(kept)}


def keep_files(public: Path) -> None:
    """Let `kept` have the files of all copies of releases that are to be kept, each once and without a second copy.

    Of two files of one name it has that of the newer release. What no release has any more stays in it for `KEPT_FOR`,
    because a page that is open may ask for it, however many deploys there were meanwhile. The link turns when the new
    folder is complete.
    """
    if not (public / "releases").is_dir():
        return
    copies = [path for path in (public / "releases").glob("[!.]*") if path.is_dir()]
    built = {copy: public.parent / "releases" / copy.name / "release.json" for copy in copies}
    copies.sort(key=lambda copy: built[copy].stat().st_mtime if built[copy].is_file() else 0, reverse=True)
    link, former = public / KEPT, list(public.glob(f"{BEHIND}*"))
    new = Path(tempfile.mkdtemp(prefix=BEHIND, dir=public))
    new.chmod(0o755)
    folders = {folder for copy in copies for folder in _copied(copy).get(KEPT, [])}
    for copy in copies:
        for folder in _copied(copy).get(KEPT, []):
            _link_files(copy / folder, new / folder)
    if folders and link.is_dir():
        _link_gone(link.resolve(), new, folders)
    if any(new.iterdir()):
        turned = public / f".{KEPT}.new"
        turned.unlink(missing_ok=True)
        turned.symlink_to(new.name)
        turned.replace(link)
    else:
        link.unlink(missing_ok=True)
        former.append(new)
    for behind in former:
        shutil.rmtree(behind)


def _link_gone(former: Path, new: Path, folders: Collection[str]) -> None:
    """Link what only the former folder has, the latest gone first, as long as it is neither too old nor too much."""
    now, known = time.time(), _read(former / GONE_SINCE)
    files = (path for folder in folders for path in (former / folder).rglob("*") if path.is_file())
    names = {path.relative_to(former).as_posix() for path in files}
    gone = {name: float(known.get(name, now)) for name in names if not os.path.lexists(new / name)}
    left, kept = MOST_GONE, {}
    for name in sorted(gone, key=lambda each: gone[each], reverse=True):
        left -= (former / name).lstat().st_size
        if left < 0 or now - gone[name] > KEPT_FOR:
            break
        (new / name).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        os.link(former / name, new / name, follow_symlinks=False)
        kept[name] = gone[name]
    if kept:
        (new / GONE_SINCE).write_text(json.dumps(kept))


def _link_files(source: Path, target: Path) -> None:
    for path, _folders, files in os.walk(source):
        here = target / Path(path).relative_to(source)
        here.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name in files:
            if not os.path.lexists(here / name):
                os.link(Path(path, name), here / name, follow_symlinks=False)


def _copied(copy: Path) -> dict[str, list[str]]:
    """What the copy of a release has; one of earlier versions has only a list of folders, and none is kept."""
    found = _read(copy / COPIED)
    return found if isinstance(found, dict) else {"folders": found, KEPT: []}


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}


def _normal(folders: Sequence[str]) -> list[str]:
    return sorted({posixpath.normpath(folder.strip("/")) for folder in folders})
