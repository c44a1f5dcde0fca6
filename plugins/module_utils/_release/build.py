# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release: what it is called, whether it is there, and how it is built."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.environment import PREFIX
from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox import service_sandbox
from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox_symptoms import advice
from ansible_collections.production.fastapi.plugins.module_utils._host.memory import available_memory_mb
from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import hold
from ansible_collections.production.fastapi.plugins.module_utils._release.archive import fetched
from ansible_collections.production.fastapi.plugins.module_utils._release.cache import prune
from ansible_collections.production.fastapi.plugins.module_utils._release.checking import Asked, Checks
from ansible_collections.production.fastapi.plugins.module_utils._release.files import given_files
from ansible_collections.production.fastapi.plugins.module_utils._release.forms import (
    FORMS,
    Chosen,
    unread_files,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.git import Git
from ansible_collections.production.fastapi.plugins.module_utils._release.host import (
    PATH,
    Account,
    Confinement,
    Settings,
    run,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.index import Credentials
from ansible_collections.production.fastapi.plugins.module_utils._release.install import (
    TOOLS,
    Bytecode,
    Installer,
    NeedsCodeError,
    Wanted,
    install_uv,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.marks import COMPLETE, UNDER_WAY, build_lock
from ansible_collections.production.fastapi.plugins.module_utils._release.media import open_media
from ansible_collections.production.fastapi.plugins.module_utils._release.naming import name_of
from ansible_collections.production.fastapi.plugins.module_utils._release.pins import Live, Resolving
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.module_utils._release.public import Public
from ansible_collections.production.fastapi.plugins.module_utils._release.python import (
    DOCKERFILE,
    OWN,
    VERSION_FILE,
    find_python,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.reuse import copy, digest, inputs
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import (
    ReleaseError,
    describe,
    is_no_package,
    last_error,
    last_line,
    missing_module,
    project_folder,
    quote,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.shared import Shared
from ansible_collections.production.fastapi.plugins.module_utils._release.take import read_plain, take
from ansible_collections.production.fastapi.plugins.module_utils._release.there import (
    FORMER_NAMES,
    WEB_GROUP,
    complete_in,
    group_id,
    known_folder,
    live_in,
    wanted_folders,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.tree import unpack

IMPORT_TIMEOUT = 60  # seconds
BUILD_TIMEOUT = 1800  # seconds, for each command of app_build

# So many files take longer to compile than a process takes to start.
MANY = 300

# Arguments: the entry point, and what to print when it is a function that makes the app, which has to be called.
CHECK_ENTRYPOINT = """
import functools, importlib, inspect, sys
module, _, attribute = sys.argv[1].partition(":")
name = attribute.removesuffix("()")
app = functools.reduce(getattr, name.split("."), importlib.import_module(module))
if not callable(app):
    raise TypeError(f"{name} is a {type(app).__name__} and no ASGI application")
def is_factory():
    if not isinstance(app, functools.partial) and not inspect.isroutine(app) and not inspect.isclass(app):
        return False
    try:
        signature = inspect.signature(app)
        signature.bind()
    except (TypeError, ValueError):
        return False
    takes_all = any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values())
    return not takes_all and not inspect.iscoroutinefunction(app)
if name != attribute:
    if not is_factory():
        raise TypeError(f"{attribute} cannot be called so; write {name}, or a function that needs no arguments")
elif "." not in name and is_factory():
    print(f"\\n{sys.argv[2]}")
"""


@dataclass(frozen=True)
class Spec:
    """What is wanted: the options of the module."""

    name: str
    directory: Path
    user: str
    source: Mapping[str, Any]
    dependencies: str = "auto"
    python: str = ""
    entrypoint: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    requirements: Sequence[str] = ()
    install_options: Sequence[str] = ()
    ignore_pins: Sequence[str] = ()
    extras: Sequence[str] = ()
    groups: Sequence[str] = ()
    index_credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    build_commands: Sequence[str] = ()
    build_environment: Mapping[str, str] = field(default_factory=dict)
    uv_version: str = ""
    uv_hashes: Sequence[str] = ()
    resolve: bool = False
    resolution: str | None = None
    resolving: Resolving = field(default_factory=Resolving)
    static: Sequence[str] = ()
    static_kept: Sequence[str] = ()
    media: Sequence[str] = ()
    shared: Sequence[str] = ()
    sandbox: Sequence[str] = ()
    minimum_free_disk_mb: int = 0
    minimum_free_memory_mb: int = 0
    settings: Settings = field(default_factory=Settings)


class Release:
    """The release that a `Spec` asks for."""

    def __init__(self, spec: Spec, warn: Callable[[str], None]) -> None:
        """`warn` is told what the user should know of a build that succeeds."""
        self.spec = spec
        self.warn = warn
        self.other_python = ""  # a sentence, where a build has another one than the image of the app
        self.account = Account.find(spec.user)
        self.builder = Account.find(build_account(spec.user))
        self.public = Public(spec.directory, warn)
        self.commit = ""
        self.base = self.resolution = ""
        self.former = Live()
        self.path = spec.directory / "releases" / "unresolved"

    def resolve(self, *, offline: bool = False) -> None:
        """Find out the release's name; `offline` does without git, so the name of a branch stays open."""
        if "git" in self.spec.source and not offline:
            self.commit = self._git().resolve(self.spec.source.get("version") or "HEAD")
        releases = self.spec.directory / "releases"
        self.former = Live.read(releases, self.live())
        self.base = self._name()
        given = self.spec.resolution
        self.resolution = self.former.resolution_of(self.base, anew=self.spec.resolve) if given is None else given
        self.path = releases / self._name(self.resolution)

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
        return live_in(self.spec.directory)

    def folders(self, *, check: bool) -> bool:
        """Make the folders of the app and hand them to who needs them; returns whether something changes."""
        root = Account(None) if os.geteuid() else Account("root", 0, 0)
        web = group_id(WEB_GROUP) if root.name else root.gid
        app = (self.account.uid, self.account.gid)
        wanted = wanted_folders(app, web, (root.uid, root.gid), media=bool(self.spec.media))
        changed = self._remove_former_cache(check=check) | self._rename_variables(check=check)
        for name, (mode, uid, gid) in wanted.items():
            folder = self.spec.directory / name
            if known_folder(folder) == [mode, uid, gid]:
                continue
            changed = True
            if not check:
                folder.mkdir(parents=True, exist_ok=True)
                os.chown(folder, uid, gid)
                folder.chmod(mode)
        for path in self.spec.media:
            changed |= open_media(self.spec.directory / "shared", path, self.account, web, check=check)
        return changed

    def _remove_former_cache(self, *, check: bool) -> bool:
        """Whether there is the cache that the app's user once had. Nothing of it is used again."""
        former = self.spec.directory / "cache"
        if not former.is_dir():
            return False
        if not check:
            closed = self.spec.directory / "build"
            closed.mkdir(mode=0o700, exist_ok=True)
            closed.chmod(0o700)
            # Out of the reach of who may still write in it.
            former.rename(closed / ".former-cache")
            shutil.rmtree(closed / ".former-cache", ignore_errors=True)
        return True

    def _rename_variables(self, *, check: bool) -> bool:
        """Whether releases of earlier versions describe themselves by names that are the app's now; renames them."""
        former = []
        for path in (self.spec.directory / "releases").glob(f"*/{COMPLETE}"):
            file = path.with_name("release.env")
            known = read_plain(file).decode(errors="replace")
            new = FORMER_NAMES.sub(PREFIX, known)
            # In a folder of somebody else, root writes nothing.
            if new != known and path.parent.stat().st_uid == os.geteuid():
                former.append((file, new))
        for file, new in [] if check else former:
            renamed = file.with_name(".release.env")
            renamed.unlink(missing_ok=True)
            renamed.touch(mode=0o640)
            renamed.chmod(0o640)
            renamed.write_text(new)
            renamed.replace(file)
        return bool(former)

    def publish(self, *, check: bool) -> bool:
        """Let Nginx have its files of all complete releases; returns whether something changes."""
        return self.public.publish(
            complete_in(self.spec.directory), self.spec.static, self.spec.static_kept, check=check
        )

    def build(self, upload: Path | None) -> dict[str, Any]:
        """Build the release at its final place; after any failure nothing of it is left."""
        with self._alone():
            known = self.read()
            if known is not None:
                return known
            self._sweep()
            if self.path.exists():
                raise ReleaseError(f"{self.path} is in the way and was not made by this collection; move it away.")
            try:
                known = self._fill(upload)
                marker = self.path / UNDER_WAY
                marker.write_text(json.dumps(known, indent=2) + "\n")
                marker.chmod(0o600)
                os.sync()
                marker.rename(self.path / COMPLETE)
            except BaseException as error:
                shutil.rmtree(self.path, ignore_errors=True)
                if self.other_python and isinstance(error, ReleaseError):
                    sentence = f"{str(error).rstrip('.')}. {self.other_python}"
                    raise ReleaseError(sentence, error.log) from error
                raise
            finally:
                with contextlib.suppress(OSError):
                    self.place.clear()
            return known

    @property
    def credentials(self) -> Credentials:
        """What opens the indexes."""
        return Credentials(self.spec.index_credentials)

    @property
    def place(self) -> Place:
        """Where the release is built."""
        return Place(self.spec.name, self.spec.directory, self.path, self.builder)

    def _name(self, resolution: str = "") -> str:
        asked = {**vars(self.spec), "index_url": self.spec.settings.index_url}
        return name_of(asked, self.commit, OWN.resolve().name, resolution)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two builds of one app wait for each other; the lock of a killed one goes with its process."""
        root = Path("/") if os.geteuid() == 0 else self.spec.directory
        with hold(build_lock(self.spec.name), f"builds {self.spec.name}", root=root, error=ReleaseError):
            yield

    def _sweep(self) -> None:
        """End and remove what killed builds have left; whoever holds the lock knows that nobody builds."""
        if self.place.confined:
            command = ["systemctl", "stop", self.place.units()]
            subprocess.run(command, capture_output=True, check=False, timeout=60)  # pylint: disable=ansible-bad-function
            self.builder.end()
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
        place = self.place
        place.prepare()
        self._fetch(upload)
        source = place.outside(place.source)
        project = project_folder(source, self.spec.source.get("subdirectory", ""))
        _refuse_links(source, project)
        chosen = Chosen(self.spec.extras, self.spec.groups)
        checked = Checks(source, project, self._asked(chosen)).passed()
        entrypoint, form, wish = checked.entrypoint, checked.form, checked.wish

        uv = self._uv()
        interpreter = find_python(wish, uv, self.spec.settings, TOOLS)
        if wish.by == DOCKERFILE and not interpreter.name.endswith(wish.version):
            self.other_python = (
                f"app_python: the Dockerfile has Python {wish.version}, which uv cannot install on the host."
            )
            self.warn(self.other_python)
        wanted = Wanted.read(form, project, chosen)
        if not wanted.locked:
            self.spec.resolving.check()
        if self.commit and (wanted.local or self.spec.build_commands):
            self._git().lend(self.commit)
        basis = self._basis(uv, interpreter, wanted)
        former = self._former_venv(basis, wanted)
        left_as = self.former.unpacked["as"] if former else ""
        if former is None:
            installer = self._install(uv, interpreter, wanted, chosen)
            pins = {} if wanted.locked else installer.installed()
            basis = basis if installer.unpacking else ""
            if wanted.local:
                self._install_local(replace(installer, unpacking=False), wanted)
                if self.spec.ignore_pins:  # which a lock has put back
                    replace(installer, unpacking=False).join(self.spec.requirements, wanted)
        else:
            pins = dict(self.former.pins)
        version = python_version(former or place.outside(place.venv))
        self._run_build_commands(project)

        # From here on nothing of the build runs any more, and what root has copied nobody else can change.
        self.builder.end()
        bytecode = self._take(former, interpreter, version, project.relative_to(source), entrypoint)
        self._shared.fill(self.path)
        directory = self.path / "src" / project.relative_to(source)
        variables = {
            f"{PREFIX}NAME": self.spec.name,
            f"{PREFIX}RELEASE": self.path.name,
            f"{PREFIX}ENTRYPOINT": entrypoint,
            f"{PREFIX}DIRECTORY": str(directory),
        }
        # An import reads bytecode that is there and writes none, so it need not wait for a few files, nor for the disk.
        missing = bytecode.lend()
        with ThreadPoolExecutor(2) as beside:
            others = [beside.submit(bytecode.compile, missing), beside.submit(os.sync)]
            if len(missing) >= MANY:  # which the import would compile by itself once more
                others[0].result()
            python = self.path / "venv" / "bin" / "python"
            entrypoint = self._check_import(python, entrypoint, directory, variables, wanted.form)
            for other in others:
                other.result()
        variables[f"{PREFIX}ENTRYPOINT"] = entrypoint
        if former is None:
            with contextlib.suppress(OSError):
                prune(place, uv, self.path / "venv")
        if unread := unread_files(source, project):
            self.warn(unread)
        header = "# Written by production.fastapi.release; change app_source or app_entrypoint.\n"
        lines = (f"{key}={quote(value)}\n" for key, value in variables.items())
        (self.path / "release.env").write_text(header + "".join(lines))
        (self.path / "release.env").chmod(0o640)
        return self.plan() | {
            "entrypoint": entrypoint,
            "directory": str(directory),
            "python": version,
            "dependencies": "package" if self._package() else form,
            "base": self.base,
            "resolution": self.resolution,
            "pins": pins,
            "unpacked": {"from": basis, "as": left_as or digest(self.path / "venv")} if basis else {},
        }

    def _asked(self, chosen: Chosen) -> Asked:
        """What the options of the module say of the source."""
        spec = self.spec
        return Asked(
            dependencies=spec.dependencies,
            entrypoint=spec.entrypoint,
            python=spec.python,
            chosen=chosen,
            requirements=spec.requirements,
            ignore_pins=spec.ignore_pins,
            install_options=spec.install_options,
            credentials=self.credentials,
            package=self._package(),
        )

    def _basis(self, uv: Path, interpreter: Path, wanted: Wanted) -> str:
        """What the virtualenv is made of, as a hash; empty where the next release has to make its own.

        Commands of the build may have written in it.
        """
        spec = self.spec
        if spec.build_commands:
            return ""
        settings = {
            "uv": str(uv),
            "index_url": spec.settings.index_url,
            "requirements": list(spec.requirements),
            "install_options": list(spec.install_options),
            "ignore_pins": sorted(spec.ignore_pins),
            "extras": sorted(spec.extras),
            "groups": sorted(spec.groups),
            "environment": dict(spec.build_environment),
        }
        return inputs(wanted, self.place.outside(self.place.source), interpreter, settings)

    def _former_venv(self, basis: str, wanted: Wanted) -> Path | None:
        """The virtualenv of the live release, if this one would get the same packages and nobody has changed it."""
        former, given = self.former, self.spec.resolving.given
        if not basis or former.unpacked.get("from") != basis:
            return None
        if not wanted.locked and (self.spec.resolve or given not in ({}, former.pins)):
            return None
        venv = self.path.parent / self.live() / "venv"
        try:
            return venv if digest(venv) == former.unpacked.get("as") else None
        except OSError:
            return None

    def _install(self, uv: Path, interpreter: Path, wanted: Wanted, chosen: Chosen) -> Installer:
        """Fill the virtualenv: from wheels alone while that will do, else where code of packages may run."""
        place, requirements = self.place, self.spec.requirements
        installer = Installer(
            uv,
            place,
            self.spec.settings,
            self.spec.install_options,
            chosen,
            credentials=self.credentials,
            environment=self.spec.build_environment,
            pins={} if wanted.locked else self.spec.resolving.given,
            ignored=self.spec.ignore_pins,
            serving=requirements,
        )
        former = (
            {}
            if wanted.locked or installer.pins or self.spec.resolve
            else self.former.pins or self.spec.resolving.preferred
        )
        careful = replace(installer, unpacking=True, links=not wanted.local)
        with contextlib.suppress(NeedsCodeError):
            careful.create(interpreter)
            careful = careful.prefer(former, wanted, requirements)
            careful.install(wanted)
            careful.join(requirements, wanted)
            return careful
        place.prepare_venv()
        installer.create(interpreter)
        installer = installer.prefer(former, wanted, requirements)
        installer.install(wanted)
        installer.join(requirements, wanted)
        return installer

    def _install_local(self, installer: Installer, wanted: Wanted) -> None:
        """Install the app itself, unless its folder is no package: then it is imported from there, as in an image."""
        try:
            installer.install_local(wanted)
        except ReleaseError as error:
            if not is_no_package(error.log):
                raise
            self.warn(
                "pyproject.toml has a [build-system], and no package can be built of the source; the app is imported"
                " from its folder. Write package = false below [tool.uv] if that is meant."
            )

    def _run_build_commands(self, project: Path) -> None:
        """Run the commands of `app_build` in the source, where code of packages runs as well, with an empty home."""
        place = self.place
        tools = place.cache / "npm"  # what `npm install -g` brings, such as pnpm
        environment = self.spec.settings.environment() | {
            "HOME": str(place.cache),
            "NPM_CONFIG_PREFIX": str(tools),
            "PATH": f"{place.venv / 'bin'}:{tools / 'bin'}:{PATH}",
            f"{PREFIX}NAME": self.spec.name,
            f"{PREFIX}RELEASE": self.path.name,
            **self.spec.build_environment,
        }
        below = self.spec.source.get("subdirectory", "")
        for command in self.spec.build_commands:
            code, output = run(
                ["/bin/sh", "-ec", command],
                place.building(),
                environment,
                folder=place.inside(project),
                timeout=BUILD_TIMEOUT,
            )
            if code == 124:
                raise ReleaseError(f"app_build: {command} takes more than {BUILD_TIMEOUT} seconds.", output)
            if code != 0:
                ended = f"ended with exit code {code}" + (f" in {below} of the source" if below else "")
                raise ReleaseError(f"app_build: {command} {ended}: {last_line(output)}", output)

    @property
    def _shared(self) -> Shared:
        return Shared(self.spec.name, self.spec.directory, self.account, self.spec.shared)

    def _take(self, former: Path | None, interpreter: Path, version: str, project: Path, entrypoint: str) -> Bytecode:
        """Copy what was built to where the release will be, as root's own; returns what is to be compiled."""
        place = self.place
        self.path.mkdir(mode=0o755)
        (self.path / UNDER_WAY).touch(mode=0o600)
        # uv's own lock on the virtualenv stays behind, and everybody may write to it.
        (place.outside(place.venv) / ".lock").unlink(missing_ok=True)
        if self.commit:
            _remove(place.outside(place.source) / ".git")
        source = take(place.outside(place.source), self.path / "src")
        self._shared.link(self.path, source, project, entrypoint)
        sources = source.sources
        if former is None:
            venv = take(place.outside(place.venv), self.path / "venv")
            for text, paths in venv.sources.items():
                sources.setdefault(text, []).extend(paths)
        else:
            copy(former, self.path / "venv")  # with its bytecode
        if self.account.name is not None:
            os.chown(self.path, 0, self.account.gid)
        self.path.chmod(0o755 if self._served_by_path() else 0o750)
        return Bytecode(place, interpreter, version, sources)

    def _served_by_path(self) -> bool:
        """Whether Nginx still reads the files of the live release in its folder.

        It does on hosts that an earlier version has set up, whose releases belong to the app's user, until it is
        configured again later in this run. The next release is closed.
        """
        try:
            live = self.spec.directory / "releases" / self.live() / "src"
            return bool(self.live()) and bool(self.spec.static) and live.stat().st_uid != os.geteuid()
        except OSError:
            return False

    def _fetch(self, upload: Path | None) -> None:
        source, place = self.spec.source, self.place
        target = place.outside(place.source)
        if "git" in source:
            self._git().checkout(self.commit)
            return
        if "package" in source:
            return
        if upload is not None:
            target.rmdir()
            unpack(upload, target, whole="tree" in source)
        else:
            with fetched(source["archive"], source["checksum"], place, self.spec.settings) as archive:
                target.rmdir()
                unpack(archive, target)
        self.builder.own(target)

    def _package(self) -> str:
        source = self.spec.source
        return f"{source['package']}=={source['version']}" if "package" in source else ""

    def _git(self) -> Git:
        source = self.spec.source
        return Git(source["git"], source.get("key", ""), self.place, self.spec.settings)

    def _uv(self) -> Path:
        spec = self.spec
        return install_uv(spec.uv_version, spec.uv_hashes, spec.settings, credentials=self.credentials)

    def _check_import(
        self, python: Path, entrypoint: str, folder: Path, variables: Mapping[str, str], form: str
    ) -> str:
        """Import the app once as it will be imported when it is served, so that a broken one never gets that far.

        Returns the entry point, with `()` where it is a factory.
        """
        factory = f"factory {secrets.token_hex(8)}"
        command: list[str | Path] = [python, "-c", CHECK_ENTRYPOINT, entrypoint, factory]
        shared = self.spec.directory / "shared"
        path = f"{python.parent}:{PATH}"
        environment = {"HOME": str(shared), "PATH": path, **self.spec.environment, **variables}
        sandbox = self.spec.sandbox or service_sandbox([str(shared)])
        unit = f"{self.spec.name}.run-build-check-{os.getpid()}.service"
        with given_files(self.spec.name, self.account, self.spec.files) as (place, shown):
            environment |= {f"{PREFIX}FILES": place} if place else {}
            confinement = Confinement(self.account, unit, [*sandbox, *shown])
            code, output = run(command, confinement, environment, folder=folder, timeout=IMPORT_TIMEOUT)
        if code == 124:
            raise ReleaseError(f"{entrypoint} cannot be imported: it takes more than {IMPORT_TIMEOUT} seconds.", output)
        if code != 0:
            reason = last_error(output)
            helps = advice(reason, str(shared), self.spec.source.get("subdirectory", ""))
            if helps := helps or missing_module(reason, self.path / "src", folder, form):
                reason = f"{reason.rstrip('.')}. {helps}"
            raise ReleaseError(f"{entrypoint} cannot be imported: {reason}", output)
        return f"{entrypoint}()" if factory in output.splitlines() else entrypoint


def build_account(user: str) -> str:
    """The user that builds for an app's user: no app has such a name, and no package of Debian makes one."""
    return f"{user}_"


def _remove(path: Path) -> None:
    """Remove a folder, or whatever a build has put in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refuse_links(source: Path, project: Path) -> None:
    """Refuse files that root reads and that lead out of the source."""
    for name in (*FORMS, VERSION_FILE):
        for folder in (project, *project.parents):
            if not folder.is_relative_to(source):
                break
            if not (folder / name).resolve().is_relative_to(source.resolve()):
                raise ReleaseError(f"app_source: {name} is a link that leads out of the source; put the file there.")


def python_version(venv: Path) -> str:
    """The Python of a virtualenv, as 3.12.4."""
    text = read_plain(venv / "pyvenv.cfg").decode(errors="replace")
    pairs = (line.partition("=") for line in text.splitlines())
    return next(value.strip() for key, _unused, value in pairs if key.strip() == "version")
