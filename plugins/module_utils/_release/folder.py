# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A folder of the controller as the source of a release: what of it belongs to the app, its hash, and how it is packed.

Whatever lies in a folder is taken, left out, or refused before a byte of it is read. Left out are files that
tools make (`TOOLS`, virtualenvs, bytecode), files that git ignores unless they are included, and sockets, pipes and
devices.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

# What tools make of a source. It is never part of it, unless git has it.
TOOLS = {".git", ".venv", "__pycache__", "node_modules"}

# Without git nothing says that these are to stay at home.
PRIVATE = {".env"}

# What a folder may have. A bigger one takes longer to read than a run without a change may take.
MOST_FILES = 50_000
MOST_BYTES = 1 << 30

ADVICE = "leave it out by .gitignore"


def list_files(folder: Path, include: Sequence[str] = ()) -> list[PurePosixPath]:
    """The files of the app: in a git work tree what git would commit, else everything that no tool has made.

    `include` names files and folders that go along in any case. Raises `ReleaseError` when something cannot be taken.
    """
    try:
        files = set(_git_files(folder) or _other_files(folder))
        for path in include:
            files |= set(_included(folder, path))
        kept = [path for path in files if _is_file_or_link(folder / path)]
        if len(kept) > MOST_FILES:
            raise _TooMuchError
        _check(folder, kept)
    except _TooMuchError:
        raise ReleaseError(
            f"app_source.folder: {folder} has more than {MOST_FILES} files; name the folder of the app alone, have git"
            " ignore what is not part of it, or pack it and name that as archive."
        ) from None
    except OSError as error:
        shown = os.path.relpath(error.filename, folder) if error.filename else folder
        raise ReleaseError(
            f"app_source.folder: {_shown(shown)} cannot be read: {error.strerror}; let it be read, or {ADVICE}."
        ) from error
    return sorted(kept)


class _TooMuchError(Exception):
    """There are more files than a source may have."""


def _shown(path: object) -> str:
    """A name for a sentence, whatever bytes it has."""
    return os.fsencode(str(path)).decode(errors="replace")


def _git_files(folder: Path) -> list[PurePosixPath]:
    """Tracked files and new ones that are not ignored; empty when git does not know the folder."""
    tracked = _listed(folder, "--cached")
    new = [path for path in _listed(folder, "--others", "--exclude-standard") if not _is_made(folder, path)]
    paths = {*tracked, *new}
    submodules = [path for path in paths if (folder / path).is_dir() and not (folder / path).is_symlink()]
    files = [path for path in paths if path not in submodules]
    return files + [module / path for module in submodules for path in _module_files(folder / module)]


def _module_files(module: Path) -> Iterable[PurePosixPath]:
    """The files of a submodule; where nobody has checked it out, git would answer for the repository around it."""
    return list_files(module) if os.path.lexists(module / ".git") else _other_files(module)


def _listed(folder: Path, *words: str) -> list[PurePosixPath]:
    # The folder may be somebody else's; nothing that its configuration names is run.
    command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", str(folder), "ls-files", "-z"]
    try:
        listed = subprocess.run([*command, *words], capture_output=True, check=True)  # pylint: disable=ansible-bad-function
    except (OSError, subprocess.CalledProcessError):
        return []
    return [PurePosixPath(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name]


def _is_made(folder: Path, path: PurePosixPath) -> bool:
    """Whether a file that git does not have is of a tool."""
    folders = list(path.parents)[:-1]
    return bool(TOOLS.intersection(path.parts)) or any(_is_virtualenv(folder / parent) for parent in folders)


def _is_virtualenv(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file()


def _other_files(folder: Path) -> Iterator[PurePosixPath]:
    for path in _walk(folder, TOOLS | PRIVATE):
        if path.suffix != ".pyc":
            yield path


def _included(folder: Path, named: str) -> list[PurePosixPath]:
    path = PurePosixPath(named)
    here = folder / path
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ReleaseError(f"app_source.include: write {named} as a path inside of the folder, as client/build.")
    if here.parent.resolve() != folder.resolve() / path.parent:
        raise ReleaseError(f"app_source.include: {named} is behind a link; write where it is.")
    if here.is_dir() and not here.is_symlink():
        found = [path / below for below in _walk(here, {".git", "__pycache__"})]
    else:
        found = [path] if os.path.lexists(here) else []
    if not found:
        raise ReleaseError(
            f"app_source.include: {folder} has nothing at {named}; build it first, or let the servers do that with"
            " app_build."
        )
    return found


def _walk(folder: Path, left: Iterable[str]) -> Iterator[PurePosixPath]:
    """The files and links below a folder, without what is left out by its name, and without virtualenvs."""

    def fail(error: OSError) -> None:
        raise error

    count = 0
    for root, folders, names in os.walk(folder, onerror=fail):
        here = Path(root)
        linked = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [
            name for name in folders if name not in left and name not in linked and not _is_virtualenv(here / name)
        ]
        for name in (*names, *linked):
            if name not in left:
                count += 1
                if count > MOST_FILES:
                    raise _TooMuchError
                yield PurePosixPath((here / name).relative_to(folder).as_posix())


def _is_file_or_link(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False  # git has it, and it was deleted
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _check(folder: Path, files: Sequence[PurePosixPath]) -> None:
    """Refuse links that lead out, files that cannot be read, and more than a folder may have."""
    sizes: dict[PurePosixPath, int] = {}
    for path in files:
        here = folder / path
        if here.is_symlink():
            _check_link(path, os.fspath(here.readlink()))
        else:
            sizes[path] = here.stat().st_size
            if not os.access(here, os.R_OK):
                raise PermissionError(13, "Permission denied", str(here))
    total = sum(sizes.values())
    if total > MOST_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        raise ReleaseError(
            f"app_source.folder: {folder} has {total >> 20} MB, of which {_shown(largest)} has {sizes[largest] >> 20},"
            f" and {MOST_BYTES >> 20} MB is the most; {ADVICE}, or pack the folder and name that as archive."
        )


def _check_link(path: PurePosixPath, named: str) -> None:
    target = PurePosixPath(os.path.normpath(path.parent / named))
    if target.is_absolute() or ".." in target.parts:
        raise ReleaseError(
            f"app_source.folder: {_shown(path)} is a link to {_shown(named)}, which is outside of the folder; put there"
            f" what it names, or {ADVICE}."
        )


def tree_hash(folder: Path, include: Sequence[str] = ()) -> str:
    """SHA-256 over names, contents and executable bits: the same tree has the same hash on every machine."""
    digest = hashlib.sha256()
    for path in list_files(folder, include):
        kind, content = _read(folder / path)
        fields = (os.fsencode(str(path)), kind.encode(), content)
        digest.update(b"".join(len(field).to_bytes(4, "big") + field for field in fields))
    return digest.hexdigest()


def _read(path: Path) -> tuple[str, bytes]:
    """What a file is, and the SHA-256 of what it has."""
    if path.is_symlink():
        return "link", hashlib.sha256(os.fsencode(path.readlink())).digest()
    with path.open("rb") as file:
        executable = os.fstat(file.fileno()).st_mode & stat.S_IXUSR
        return "program" if executable else "file", hashlib.file_digest(file, "sha256").digest()


def pack(folder: Path, target: IO[bytes], include: Sequence[str] = ()) -> None:
    """Write the app's files as a tar.gz of which each byte follows from the tree."""
    with (
        gzip.GzipFile(fileobj=target, mode="wb", filename="", mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in list_files(folder, include):
            archive.add(folder / path, str(path), recursive=False, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & stat.S_IXUSR else 0o644
    return member
