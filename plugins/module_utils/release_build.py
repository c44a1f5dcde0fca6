# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release: what it is called, whether it is there, and how it is built."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils.host_memory import available_memory_mb
from ansible_collections.production.fastapi.plugins.module_utils.release_git import Git
from ansible_collections.production.fastapi.plugins.module_utils.release_host import Account, Settings, download, run
from ansible_collections.production.fastapi.plugins.module_utils.release_install import (
    Installer,
    find_python,
    install_uv,
    read_pyproject,
)
from ansible_collections.production.fastapi.plugins.module_utils.release_rules import (
    ReleaseError,
    describe,
    detect_form,
    find_entrypoint,
    last_error,
    project_folder,
    quote,
    release_name,
    slug,
)
from ansible_collections.production.fastapi.plugins.module_utils.release_tree import file_hash, unpack

# A release is complete when this file is there; until then it is a build under way, or one that was killed.
COMPLETE = "release.json"
UNDER_WAY = "release.json.building"

IMPORT_TIMEOUT = 60

CHECK_ENTRYPOINT = """
import functools, importlib, sys
module, _, attribute = sys.argv[1].partition(":")
app = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
if not callable(app):
    raise TypeError(f"{attribute} is a {type(app).__name__} and no ASGI application")
"""


@dataclass(frozen=True)
class Spec:
    """What is wanted: the options of the module."""

    name: str
    directory: Path
    user: str
    source: Mapping[str, Any]
    dependencies: str = "auto"
    installer: str = "uv"
    python: str = ""
    entrypoint: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    requirements: Sequence[str] = ()
    install_options: Sequence[str] = ()
    uv_version: str = ""
    minimum_free_disk_mb: int = 0
    minimum_free_memory_mb: int = 0
    settings: Settings = field(default_factory=Settings)


class Release:
    """The release that a `Spec` asks for."""

    def __init__(self, spec: Spec, warn: Callable[[str], None]) -> None:
        """`warn` is told what the user should know of a build that succeeds."""
        self.spec = spec
        self.warn = warn
        self.account = Account.find(spec.user)
        self.cache = spec.directory / "cache"
        self.commit = ""
        self.path = spec.directory / "releases" / "unresolved"

    def resolve(self, *, offline: bool = False) -> None:
        """Find out the release's name; `offline` does without git, so the name of a branch stays open."""
        if "git" in self.spec.source and not offline:
            self.commit = self._git().resolve(self.spec.source.get("version") or "HEAD")
        self.path = self.spec.directory / "releases" / self._name()

    def read(self) -> dict[str, Any] | None:
        """What is known of the release when it is complete, else `None`."""
        try:
            known: dict[str, Any] = json.loads((self.path / COMPLETE).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        return known

    def plan(self) -> dict[str, Any]:
        """What is known of the release before it is built."""
        return {
            "name": self.path.name,
            "path": str(self.path),
            "source": describe(self.spec.source, self.commit),
            "entrypoint": self.spec.entrypoint,
            "directory": str(self.path / "src" / self.spec.source.get("subdirectory", "")).rstrip("/"),
            "python": self.spec.python,
            "dependencies": self.spec.dependencies,
        }

    def live(self) -> str:
        """The release that `current` names; empty when there is none. Whether it runs is not asked."""
        link = self.spec.directory / "current"
        return link.readlink().name if link.is_symlink() else ""

    def folders(self, *, check: bool) -> bool:
        """Make the folders of the app and hand them to who owns them; returns whether something changes."""
        root = Account(None) if os.geteuid() else Account("root", 0, 0)
        owners = {"": root, "releases": root, "shared": self.account, "cache": self.account}
        changed = False
        for name, owner in owners.items():
            folder = self.spec.directory / name
            wanted = (0o755, owner.uid, owner.gid)
            if folder.is_dir():
                known = folder.stat()
                if (known.st_mode & 0o7777, known.st_uid, known.st_gid) == wanted:
                    continue
            changed = True
            if not check:
                folder.mkdir(parents=True, exist_ok=True)
                os.chown(folder, owner.uid, owner.gid)
                folder.chmod(0o755)
        return changed

    def build(self, upload: Path | None) -> dict[str, Any]:
        """Build the release at its final place; after any failure nothing of it is left."""
        with self._alone():
            known = self.read()
            if known is not None:
                return known
            self._sweep()
            if self.path.exists():
                raise ReleaseError(f"{self.path} is in the way and was not made by this collection; move it away.")
            self.path.mkdir(mode=0o755)
            (self.path / UNDER_WAY).touch()
            try:
                known = self._fill(upload)
                marker = self.path / UNDER_WAY
                marker.write_text(json.dumps(known, indent=2) + "\n")
                marker.chmod(0o644)
                os.sync()
                marker.rename(self.path / COMPLETE)
            except BaseException:
                shutil.rmtree(self.path, ignore_errors=True)
                raise
            return known

    def _name(self) -> str:
        source = self.spec.source
        if "package" in source:
            identity = source_id = f"{source['package']}-{source['version']}"
        else:
            identity = self.commit or source.get("tree") or source.get("checksum", "").removeprefix("sha256:")
            source_id = identity[:12] or slug(source.get("version") or "HEAD")
        build = {
            "source": identity,
            "python": self.spec.python or find_python("", None, self.spec.settings).name,
            "dependencies": self.spec.dependencies,
            "installer": self.spec.installer,
            "entrypoint": self.spec.entrypoint,
            "subdirectory": source.get("subdirectory", ""),
            "requirements": list(self.spec.requirements),
            "index_url": self.spec.settings.index_url,
            "install_options": list(self.spec.install_options),
        }
        return release_name(source_id, build)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two builds of one app wait for each other; the lock of a killed one goes with its process."""
        folder = os.open(self.spec.directory / "releases", os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _sweep(self) -> None:
        """Remove what killed builds have left; whoever holds the lock knows that nobody builds."""
        for marker in self.path.parent.glob(f"*/{UNDER_WAY}"):
            shutil.rmtree(marker.parent)

    def check_room(self) -> None:
        """Refuse a build for which there is no disk or memory."""
        folder = next(path for path in (self.spec.directory, *self.spec.directory.parents) if path.is_dir())
        free = shutil.disk_usage(folder).free >> 20
        if free < self.spec.minimum_free_disk_mb:
            raise ReleaseError(
                f"{self.spec.directory} has {free} MB of free disk and app_minimum_free_disk_mb asks for "
                f"{self.spec.minimum_free_disk_mb}: remove old releases, or lower it."
            )
        available = available_memory_mb()
        if available < self.spec.minimum_free_memory_mb:
            raise ReleaseError(
                f"The host has {available} MB of available memory and app_minimum_free_memory_mb asks for "
                f"{self.spec.minimum_free_memory_mb}: stop something, or lower it."
            )

    def _fill(self, upload: Path | None) -> dict[str, Any]:
        source = self.path / "src"
        self._fetch(source, upload)
        project = project_folder(source, self.spec.source.get("subdirectory", ""))
        entrypoint = find_entrypoint(self.spec.entrypoint, read_pyproject(project))
        form = self._package() or detect_form(source, project, self.spec.dependencies)

        uv = self._uv()
        venv = self.path / "venv"
        venv.mkdir()
        self.account.own(venv)
        installer = Installer(uv, venv, self.account, self.spec.settings, self.cache, self.spec.install_options)
        interpreter = find_python(self.spec.python, uv, self.spec.settings)
        installer.create(interpreter)
        installer.install_project(form, project)
        installer.join(self.spec.requirements, form, project)

        variables = {
            "APP_NAME": self.spec.name,
            "APP_RELEASE": self.path.name,
            "APP_ENTRYPOINT": entrypoint,
            "APP_DIRECTORY": str(project),
        }
        # An import reads bytecode that is there and writes none, so both go on together.
        with ThreadPoolExecutor(1) as beside:
            compiled = beside.submit(installer.finish, source, self.spec.directory / "current" / "venv")
            self._check_import(installer.python, entrypoint, project, variables)
            compiled.result()
        header = "# Written by production.fastapi.release; change app_source or app_entrypoint.\n"
        lines = (f"{key}={quote(value)}\n" for key, value in variables.items())
        (self.path / "release.env").write_text(header + "".join(lines))
        (self.path / "release.env").chmod(0o644)
        return self.plan() | {
            "entrypoint": entrypoint,
            "directory": str(project),
            "python": python_version(venv),
            "dependencies": "package" if self._package() else form,
            "installer": installer.name,
        }

    def _fetch(self, target: Path, upload: Path | None) -> None:
        source = self.spec.source
        if "git" in source:
            target.mkdir()
            self.account.own(target)
            self._git().checkout(self.commit, target)
            return
        if "package" in source:
            target.mkdir()
        elif upload is not None:
            unpack(upload, target)
        else:
            with tempfile.TemporaryDirectory(dir=self.path) as name:
                archive = Path(name) / "archive"
                download(source["archive"], archive, self.spec.settings)
                checksum = f"sha256:{file_hash(archive)}"
                if checksum != source["checksum"]:
                    raise ReleaseError(f"app_source.checksum: the archive has {checksum}; write that if you trust it.")
                unpack(archive, target)
        self.account.own(target)

    def _package(self) -> str:
        source = self.spec.source
        return f"{source['package']}=={source['version']}" if "package" in source else ""

    def _git(self) -> Git:
        source = self.spec.source
        return Git(source["git"], source.get("key", ""), self.account, self.spec.settings, self.cache)

    def _uv(self) -> Path | None:
        if self.spec.installer == "pip":
            return None
        try:
            return install_uv(self.spec.uv_version, self.spec.settings)
        except ReleaseError as error:
            self.warn(f"{str(error).rstrip('.')}; pip is used instead, which is slower and knows no uv.lock.")
            return None

    def _check_import(self, python: Path, entrypoint: str, folder: Path, variables: Mapping[str, str]) -> None:
        """Import the app once as it will be imported when it is served, so that a broken one never gets that far."""
        command = [str(python), "-c", CHECK_ENTRYPOINT, entrypoint]
        environment = {"HOME": str(self.spec.directory / "shared"), **self.spec.environment, **variables}
        code, output = run(command, self.account, environment, folder=folder, timeout=IMPORT_TIMEOUT)
        if code == 124:
            raise ReleaseError(f"{entrypoint} cannot be imported: it takes more than {IMPORT_TIMEOUT} seconds.", output)
        if code != 0:
            raise ReleaseError(f"{entrypoint} cannot be imported: {last_error(output)}", output)


def python_version(venv: Path) -> str:
    """The Python of a virtualenv, as 3.12.4."""
    pairs = (line.partition("=") for line in (venv / "pyvenv.cfg").read_text().splitlines())
    return next(value.strip() for key, _unused, value in pairs if key.strip() == "version")
