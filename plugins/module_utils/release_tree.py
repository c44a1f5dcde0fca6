# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Source trees: what of a folder belongs to the app, packed on the controller and unpacked on the host."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from ansible_collections.production.fastapi.plugins.module_utils.release_rules import ReleaseError

NOT_SOURCE = {".git", ".venv", "__pycache__", "node_modules", ".env"}


def list_files(folder: Path) -> list[PurePosixPath]:
    """The files of the app: in a git work tree what git would commit, else everything that no tool has made."""
    tracked = _git_files(folder)
    if tracked:
        return sorted(path for path in tracked if _exists(folder / path))
    files = []
    for root, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(root) / name).is_symlink()]
        folders[:] = [name for name in folders if name not in NOT_SOURCE and name not in linked]
        kept = [name for name in [*names, *linked] if name not in NOT_SOURCE and not name.endswith(".pyc")]
        files += [PurePosixPath((Path(root) / name).relative_to(folder).as_posix()) for name in kept]
    return sorted(files)


def _git_files(folder: Path) -> list[PurePosixPath]:
    """Tracked files and new ones that are not ignored; empty when git does not know the folder."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    paths = {PurePosixPath(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name}
    submodules = [path for path in paths if (folder / path).is_dir() and not (folder / path).is_symlink()]
    files = [path for path in paths if path not in submodules]
    return files + [module / path for module in submodules for path in list_files(folder / module)]


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def tree_hash(folder: Path) -> str:
    """SHA-256 over names, contents and executable bits: the same tree has the same hash on every machine."""
    digest = hashlib.sha256()
    for path in list_files(folder):
        kind, content = _read(folder / path)
        fields = (str(path).encode(), kind.encode(), hashlib.sha256(content).digest())
        digest.update(b"".join(len(field).to_bytes(4, "big") + field for field in fields))
    return digest.hexdigest()


def _read(path: Path) -> tuple[str, bytes]:
    if path.is_symlink():
        return "link", os.fsencode(path.readlink())
    executable = path.stat().st_mode & stat.S_IXUSR
    return "program" if executable else "file", path.read_bytes()


def pack(folder: Path, target: IO[bytes]) -> None:
    """Write the app's files as a tar.gz of which each byte follows from the tree."""
    with (
        gzip.GzipFile(fileobj=target, mode="wb", filename="", mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in list_files(folder):
            archive.add(folder / path, str(path), recursive=False, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & stat.S_IXUSR else 0o644
    return member


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar.* or zip into `target`, which must not exist; a single folder at its top is left out.

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
        raise ReleaseError(f"app_source.archive: it is no readable tar or zip archive: {error}.") from error
    top = list(stage.iterdir())
    single = len(top) == 1 and top[0].is_dir() and not top[0].is_symlink()
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
