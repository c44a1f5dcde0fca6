# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives as the source of a release: their hash, and how they are unpacked on the host."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import time
import zipfile
from pathlib import Path, PurePosixPath

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, target: Path, *, whole: bool = False) -> None:
    """Unpack a tar.* or zip into `target`, which must not exist.

    A single folder at its top is left out, as archives of a version have it, unless the archive is wanted as a `whole`.

    Raises `ReleaseError` when the archive is none, or when something in it would land outside.
    """
    stage = target.with_name(f"{target.name}.unpacked")
    stage.mkdir()
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, stage)
        else:
            _unpack_tar(archive, stage)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ReleaseError(f"app_source.archive: it is not a readable tar or zip archive: {error}.") from error
    top = list(stage.iterdir())
    single = not whole and len(top) == 1 and top[0].is_dir() and not top[0].is_symlink()
    (top[0] if single else stage).rename(target)
    shutil.rmtree(stage, ignore_errors=True)


def _unpack_tar(archive: Path, stage: Path) -> None:
    with tarfile.open(archive) as opened:
        # Debian 12's Python has no extraction filters yet, so the rules are ours; newer ones are told to do as we say.
        opened.extraction_filter = lambda member, _path: member
        now = int(time.time())
        members = opened.getmembers()
        links = {PurePosixPath(member.name) for member in members if member.issym()}
        for member in members:
            _refuse_outside(member.name)
            if links.intersection(PurePosixPath(member.name).parents):
                raise ReleaseError(f"app_source: {member.name} is behind a link of the archive; remove it.")
            if member.issym() or member.islnk():
                beside = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
                _refuse_outside(os.path.normpath(beside / member.linkname), member.name)
            elif not (member.isfile() or member.isdir()):
                raise ReleaseError(f"app_source: {member.name} is neither a file, a folder nor a link.")
            member.mode = 0o755 if member.isdir() or member.mode & stat.S_IXUSR else 0o644
            # The time of the build: browsers must see that a file changed, and wheels know no time before 1980.
            member.mtime = now
            member.uid, member.gid = os.getuid(), os.getgid()
            member.uname = member.gname = ""
        # Links last, so that no file is ever written through one.
        for member in sorted(members, key=lambda member: member.issym()):
            opened.extract(member, stage, numeric_owner=True)


def _unpack_zip(archive: Path, stage: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            _refuse_outside(entry.filename)
            mode = entry.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise ReleaseError(
                    f"app_source: {entry.filename} is a link, which a zip may not have; use a tar archive."
                )
            path = Path(opened.extract(entry, stage))
            path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)


def _refuse_outside(path: str, name: str = "") -> None:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ReleaseError(f"app_source: {name or path} leads out of the source; remove it.")
