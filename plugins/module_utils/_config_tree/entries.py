# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files and symbolic links: read, written, copied and put back with everything that belongs to them."""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import ConfigError

KEEP = -1  # a user or group that does not exist yet, which only a dry run may meet


@dataclass(frozen=True)
class Entry:
    """A file or symbolic link as found or wanted; the content of a link is its target."""

    content: bytes = field(repr=False)
    uid: int
    gid: int
    mode: int
    link: bool = False

    def text(self) -> str:
        """The content as a diff can show it."""
        if self.link:
            return f"(symbolic link to {os.fsdecode(self.content)})\n"
        try:
            text = self.content.decode()
        except UnicodeDecodeError:
            text = "\0"
        return text if "\0" not in text else f"(binary, sha256 {hashlib.sha256(self.content).hexdigest()[:12]})\n"

    def owned(self) -> str:
        """Owner, group and mode for people: `root:www-data 0640`."""
        try:
            user = "?" if self.uid == KEEP else pwd.getpwuid(self.uid).pw_name
        except KeyError:
            user = str(self.uid)
        try:
            group = "?" if self.gid == KEEP else grp.getgrgid(self.gid).gr_name
        except KeyError:
            group = str(self.gid)
        return f"{user}:{group} {self.mode:04o}"


def read(path: Path) -> Entry | None:
    """What is at `path`, None for nothing. Raises ConfigError when it is neither file nor symbolic link."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISLNK(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise ConfigError(f"{path} is {kind} on this host, so no file can be written there; move it away.")
    link = stat.S_ISLNK(found.st_mode)
    content = os.fsencode(path.readlink()) if link else path.read_bytes()
    return Entry(content, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), link)


def write(path: Path, entry: Entry, sync: bool = True) -> None:
    """Create a file that nobody else reads before owner and mode are set; with `sync` it survives a power cut."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(entry.content)
            file.flush()
            os.fchown(file.fileno(), entry.uid, entry.gid)
            os.fchmod(file.fileno(), entry.mode)
            if sync:
                os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(path)  # a full disk does not say where
        raise


def copy(source: Path, target: Path, sync: bool = True) -> None:
    """Copy a file or link with owner, mode, times and extended attributes."""
    shutil.copyfile(source, target, follow_symlinks=False)
    owner = source.lstat()
    os.chown(target, owner.st_uid, owner.st_gid, follow_symlinks=False)
    shutil.copystat(source, target, follow_symlinks=False)  # last, because a change of owner clears mode bits
    if sync and not target.is_symlink():
        with target.open("rb") as file:
            os.fsync(file.fileno())


def copy_folder(source: Path, target: Path) -> None:
    """Copy what is in an existing folder, links as links, sockets and the like left out."""
    mirror_folder(source, target)
    with os.scandir(source) as items:
        for item in items:
            if item.is_dir(follow_symlinks=False):
                copy_folder(Path(item.path), target / item.name)
            elif item.is_symlink() or item.is_file():
                copy(Path(item.path), target / item.name, sync=False)


def mirror_folder(source: Path, target: Path) -> None:
    """Make `target` unless it exists, with owner and mode of `source`; 0755 if there is no such folder."""
    if target.is_dir():
        return
    target.mkdir()
    if source.is_dir():
        found = source.stat()
        os.chown(target, found.st_uid, found.st_gid)
        target.chmod(stat.S_IMODE(found.st_mode))
    else:
        target.chmod(0o755)


def new_name(path: Path) -> Path:
    """Where the next content of `path` waits; programs that read whole folders skip dots in front and `~` behind."""
    return path.with_name(f".{path.name}.new~")


def old_name(path: Path) -> Path:
    """The second link of the file that `path` was before the transaction."""
    return path.with_name(f".{path.name}.old~")


def put_back(path: Path, existed: bool, swapping: bool) -> None:
    """Undo the swap of one path, however far it came; doing it twice is harmless."""
    new, old = new_name(path), old_name(path)
    if existed and os.path.lexists(old):
        # A rename onto another link of the same file would do nothing, and before the swap `path` is not ours to touch.
        if swapping and not (os.path.lexists(path) and path.lstat().st_ino == old.lstat().st_ino):
            old.replace(path)
        else:
            old.unlink()
    elif not existed and swapping and not os.path.lexists(new):
        path.unlink(missing_ok=True)
    new.unlink(missing_ok=True)


def remove_if_empty(path: Path) -> None:
    """Remove a folder unless somebody uses it or it is gone already."""
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.EBUSY):
            raise


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
