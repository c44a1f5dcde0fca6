# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths of a source that outlive its releases: in a release they are links to `shared`, where the app may write.

    releases/RELEASE/src/uploads -> /srv/NAME/shared/uploads

What the source has there becomes the first content of `shared`, copied by the app's user: whatever the app has put
there, such as a link, leads root nowhere.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox import service_sandbox
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account, Confinement, run
from ansible_collections.production.fastapi.plugins.module_utils._release.python import OWN
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError, last_error
from ansible_collections.production.fastapi.plugins.module_utils._release.take import Taken

# What the source has at these paths, while a release is built.
FIRST = "first"

COPY_TIMEOUT = 1800  # seconds

# Arguments: the folder of the first content, the shared folder, and the paths, those of folders with / at their end.
FILL = """
import os, shutil, sys, tempfile

def copy(source, target):
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
    elif os.path.isdir(source):
        os.mkdir(target, 0o750)
        for name in os.listdir(source):
            copy(os.path.join(source, name), os.path.join(target, name))
    else:
        shutil.copyfile(source, target)
        os.chmod(target, os.stat(source).st_mode & 0o750 | 0o600)

first, shared, *paths = sys.argv[1:]
os.umask(0o027)
for path in paths:
    parent, name = shared, path.rstrip("/").split("/")
    for part in name[:-1]:
        parent = os.path.join(parent, part)
        if os.path.islink(parent):
            sys.exit(f"{parent} is a link; put a folder there")
        os.makedirs(parent, mode=0o750, exist_ok=True)
    target = os.path.join(parent, name[-1])
    source = os.path.join(first, *name)
    if os.path.lexists(target):
        continue
    if os.path.lexists(source):
        # Whole or not at all, so that a build that was killed leaves no half of it.
        with tempfile.TemporaryDirectory(prefix=f".{name[-1]}.", dir=parent) as made:
            copy(source, os.path.join(made, "copy"))
            os.rename(os.path.join(made, "copy"), target)
    elif path.endswith("/"):
        os.mkdir(target, 0o750)
"""


@dataclass(frozen=True)
class Shared:
    """What the app `name` in `directory` shares between its releases; `paths` are relative to the source."""

    name: str
    directory: Path
    account: Account
    paths: Sequence[str]

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.directory / "shared"

    def link(self, release: Path, taken: Taken, project: Path, entrypoint: str) -> None:
        """Put links in the place of these paths in a release of root's; what the source has there is set aside.

        Raises `ReleaseError` when a path leads along a link of the source, or has the app itself.
        """
        source = release / "src"
        for path in map(normal, self.paths):
            here = source / path
            for parent in [*here.parents][: len(Path(path).parts) - 1][::-1]:
                if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
                    raise ReleaseError(
                        f"app_shared: {parent.relative_to(source)} of {path} is not a folder in the source; name the"
                        " folder that is meant."
                    )
            if here.is_symlink():
                raise ReleaseError(f"app_shared: {path} is a link in the source; take it out there, or name another.")
            if _has_app(here, source / project, entrypoint):
                raise ReleaseError(
                    f"app_shared: {path} has the app itself, which would stay as its first release has it; name a path"
                    " of data alone."
                )
            if here.exists():
                aside = release / FIRST / path
                aside.parent.mkdir(parents=True, exist_ok=True)
                here.rename(aside)
            here.parent.mkdir(parents=True, exist_ok=True)
            here.symlink_to(self.folder / path)
            left = {
                digest: [file for file in files if not file.is_relative_to(here)]
                for digest, files in taken.sources.items()
            }
            taken.sources = {digest: files for digest, files in left.items() if files}

    def fill(self, release: Path) -> None:
        """Make the folders that are shared, with what the source has; what is there already stays as it is."""
        if not self.paths:
            return
        paths = [f"{normal(path)}/" if is_folder(path) else normal(path) for path in self.paths]
        command: list[str | Path] = [OWN, "-I", "-c", FILL, release / FIRST, self.folder, *paths]
        confinement = Confinement(
            self.account,
            f"{self.name}.run-build-shared-{os.getpid()}.service",
            service_sandbox([str(self.folder)]),
        )
        code, output = run(command, confinement, {}, folder=Path("/"), timeout=COPY_TIMEOUT)
        if code != 0:
            raise ReleaseError(f"app_shared: {self.folder} cannot be filled: {last_error(output)}.", output)
        if (release / FIRST).exists():
            shutil.rmtree(release / FIRST)


def normal(path: str) -> str:
    """A path as the folders of a release have it, `data` for `data/`."""
    return posixpath.normpath(path)


def is_folder(path: str) -> bool:
    """Whether a path that the source does not have is a folder: with / at its end, or without an ending of a file."""
    return path.endswith("/") or not posixpath.splitext(path)[1]


def _has_app(here: Path, project: Path, entrypoint: str) -> bool:
    """Whether the module of the entry point is what lies here, or lies below."""
    module = project.joinpath(*entrypoint.partition(":")[0].split("."))
    return any(file.exists() and file.is_relative_to(here) for file in (module.with_suffix(".py"), module))
