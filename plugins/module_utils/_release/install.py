# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filling a virtualenv: with uv, which is installed once for all apps."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.forms import (
    FORMS,
    LOCKED_FORMS,
    PLAIN,
    Chosen,
    is_list,
    pins_all,
    pins_of,
    text_of,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.forms import (
    requirements as lines_of,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.host import (
    Account,
    Confinement,
    Settings,
    run,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.index import NONE, Credentials
from ansible_collections.production.fastapi.plugins.module_utils._release.pins import as_constraints
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import (
    TYPING,
    ReleaseError,
    explain_install,
    explain_refusal,
    last_line,
    normalise,
    split_requirement,
    unfit,
    unfit_typing,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.take import read_plain

TOOLS = Path("/opt/production.fastapi")
WHEELS = Path("/usr/share/python-wheels")

# Reads `SHA-256 path` lines; writes what it has compiled of each, or an empty file where it is not valid Python. The
# bytecode is never compared with its text: a finished release does not change, and times say nothing of a copy.
COMPILE = """
import concurrent.futures, hashlib, os, py_compile, sys
folder, listed = sys.argv[1:]
def compiled(line):
    digest, _, path = line.rstrip("\\n").partition(" ")
    target = f"{folder}/{digest}.{sys.implementation.cache_tag}"
    with open(path, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != digest:
            return
    try:
        py_compile.compile(path, target, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except Exception:
        open(target, "wb").close()
if __name__ == "__main__":
    with open(listed, encoding="utf-8", errors="surrogateescape") as file:
        lines = list(file)
    # For a little of it, processes would start longer than they compile.
    if len(lines) < 300:
        for line in lines:
            compiled(line)
    else:
        with concurrent.futures.ProcessPoolExecutor() as workers:
            list(workers.map(compiled, lines, chunksize=50))
"""

# The version of uv that is the default, and what it comes with on amd64 and arm64. No other file says it.
UV_VERSION = "0.13.9"
UV_HASHES = (
    "sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    "sha256:ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
)

# Seconds for which bytecode is kept that the latest release does not use.
KEEP_BYTECODE = 30 * 86400

# How uv says that it would have had to run something where nothing can be run.
NOT_EXECUTED = ("Permission denied", "os error 13")


class NeedsCodeError(Exception):
    """A package has to be built, so its code has to run."""


def pip_command() -> list[str]:
    """Debian's pip, run from its wheel: neither a virtualenv nor ensurepip is needed for it."""
    wheel = max(WHEELS.glob("pip-*.whl"), default=None)
    if wheel is None:
        raise ReleaseError("The Debian package python3-pip-whl is not installed on the host.")
    return ["/usr/bin/python3", f"{wheel}/pip"]


def hashes_of_uv(version: str, hashes: Sequence[str]) -> tuple[str, ...]:
    """The hashes that this version of uv may have; raises `ReleaseError` when nobody has said which."""
    wanted = tuple(hashes) or (UV_HASHES if version in ("", UV_VERSION) else ())
    if not wanted:
        raise ReleaseError(
            f"app_uv_hashes: {version} is not the version of uv whose hashes are known here, which is {UV_VERSION};"
            ' write those of its wheels for your hosts, as ["sha256:…"].'
        )
    return wanted


def install_uv(
    version: str,
    hashes: Sequence[str],
    settings: Settings,
    tools: Path = TOOLS,
    credentials: Credentials = NONE,
) -> Path:
    """The program uv of this version, which has one of these hashes; fetched from the index when it is not there yet.

    Empty is `UV_VERSION`.

    Raises `ReleaseError` when it cannot be had, or when nobody has said which hashes it has.
    """
    version = version or UV_VERSION
    wanted = hashes_of_uv(version, hashes)
    open_to_all(tools)
    home = tools / f"uv-{version}-{hashlib.sha256(' '.join(sorted(wanted)).encode()).hexdigest()[:8]}"
    if not (home / "bin" / "uv").is_file():
        tools.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tools, prefix=".uv-") as name:
            stage, pins = Path(name) / home.name, Path(name) / "pins"
            pins.write_text(" ".join([f"uv=={version}", *(f"--hash={digest}" for digest in wanted)]) + "\n")
            words = ["install", "--quiet", "--no-deps", "--only-binary=:all:", "--no-compile", f"--target={stage}"]
            words += ["--require-hashes", f"--requirement={pins}"]
            environment = (
                settings.environment()
                | credentials.write(Path(name), Path(name))
                | {
                    "HOME": name,
                    "PIP_NO_CACHE_DIR": "1",
                    "PIP_ROOT_USER_ACTION": "ignore",
                }
            )
            # A wheel is only unpacked: nothing of it runs while root installs it.
            code, output = run([*pip_command(), *words], Confinement(Account(None)), environment, folder=Path("/"))
            if code != 0 and re.search("do not match the hashes|hash mismatch", output, re.IGNORECASE):
                raise ReleaseError(f"app_uv_hashes: what the index has as uv {version} has another hash.", output)
            if code != 0:
                reason = explain_refusal(output) or last_line(output)
                raise ReleaseError(f"uv {version} cannot be installed: {reason}", output)
            if not home.exists():
                stage.rename(home)
    return home / "bin" / "uv"


def open_to_all(tools: Path) -> None:
    """Let every account read what root has installed there, which a run with a strict umask may have left closed."""
    # What begins with a dot is being installed.
    installed = [path for path in tools.glob("[!.]*") if not path.is_symlink()]
    inside = (Path(folder, name) for top in installed for folder, *names in os.walk(top) for name in chain(*names))
    for path in chain([tools] if tools.is_dir() else [], installed, inside):
        with contextlib.suppress(FileNotFoundError):  # another build may have removed it
            if path.is_symlink():
                continue
            mode = stat.S_IMODE(path.stat().st_mode)
            wanted = mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0)
            if mode != wanted:
                path.chmod(wanted)


@dataclass(frozen=True)
class Installer:
    """Installs into the virtualenv of a place.

    While nothing but uv can be executed (`unpacking`), what needs more raises `NeedsCodeError`.
    """

    uv: Path
    place: Place
    settings: Settings
    options: Sequence[str] = ()  # for what the app depends on, and for itself
    chosen: Chosen = PLAIN
    unpacking: bool = False
    credentials: Credentials = NONE
    environment: Mapping[str, str] = field(default_factory=dict)  # what builds a package may go by
    pins: Mapping[str, str] = field(default_factory=dict)  # versions to take where no lock says it
    ignored: Sequence[str] = ()  # packages that serve the app, whatever it pins of them
    serving: Sequence[str] = ()  # the requirements of what serves the app
    links: bool = False  # whether files may be other names of those in the cache, because no code will run here

    @property
    def python(self) -> Path:
        """The interpreter of the virtualenv, as the units see it."""
        return self.place.venv / "bin" / "python"

    def create(self, interpreter: Path) -> None:
        """Make the virtualenv, empty, and let uv look at it while there is nothing in it that could run."""
        script = 'python=$1 venv=$2 uv=$3; "$python" -I -m venv --without-pip "$venv" || exit 3; '
        script += 'test -z "$uv" || exec "$uv" pip list --quiet --python "$venv/bin/python"'
        uv = str(self.uv) if self.unpacking else ""
        words: list[str | Path] = ["/bin/sh", "-c", script, "create", interpreter, self.place.venv, uv]
        confinement = self.place.unpacking(()) if self.unpacking else self.place.building()
        code, output = run(words, confinement, self._environment(), folder=Path("/"))
        if code != 0:
            raise ReleaseError(f"app_python: {interpreter} cannot make a virtualenv: {last_line(output)}", output)

    def install(self, wanted: Wanted) -> None:
        """Install what the app depends on."""
        if wanted.form == "uv.lock":
            self._sync(wanted, local=False)
        elif wanted.arguments:
            # What a lock says of what is ignored holds until all is there, and it is moved then.
            pins = {package: version for package, version in self.pins.items() if package not in self.ignored}
            words = [*wanted.arguments, *self._overrides(wanted), *replace(self, pins=pins)._constraints({})]
            self._install(words, wanted.form, wanted.project)

    def prefer(self, former: Mapping[str, str], wanted: Wanted, requirements: Sequence[str]) -> Installer:
        """The same with the versions to take: those of before, but for what is wanted otherwise now.

        When they cannot be found out, the installation says why.
        """
        if not former:
            return self
        words = list(wanted.arguments)
        files = [words.pop(words.index("-r") + 1)] if "-r" in words else []
        listed = [word for word in words if word != "-r"] if not files else []
        options = [word for word in words if word != "-r"] if files else []
        files.append(self._note("wanted.in", "".join(f"{line}\n" for line in (*listed, *requirements))))
        # Beside the notes, because uv reads it and writes it again. No code has run in this folder yet.
        pins = self.place.venv / "pins.txt"
        self.place.outside(pins).write_text(as_constraints(former))
        self.place.account.own(self.place.outside(pins))
        asked = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", str(self.python)]
        options += self._overrides(wanted)
        code, _output = self._uv([*asked, "--output-file", str(pins), *self.options, *options, *files], wanted.project)
        found = pins_of(read_plain(self.place.outside(pins)).decode(errors="replace"))
        with contextlib.suppress(OSError):
            self.place.outside(pins).unlink()
        return replace(self, pins=found) if code == 0 else self

    def _overrides(self, wanted: Wanted) -> list[str]:
        """Take what is ignored in a version that serves the app, so that nothing comes which only an old one needs."""
        lines = []
        for requirement in (*self.serving, TYPING):
            name, range_ = split_requirement(requirement)
            if name in self.ignored:
                lines.append(f"{name}{wanted.extras_of(name)}{range_}\n")
        if not lines or wanted.form in LOCKED_FORMS or "--require-hashes" in wanted.arguments:
            return []
        return ["--override", self._note("serving.txt", "".join(lines))]

    def _constraints(self, installed: Mapping[str, str]) -> list[str]:
        pins = {**self.pins, **installed}
        return ["--constraint", self._note("pins.txt", as_constraints(pins))] if pins else []

    def install_local(self, wanted: Wanted) -> None:
        """Install the app itself, and what else of its source can be built."""
        if wanted.form == "uv.lock":
            self._sync(wanted, local=True)
        else:
            self._install(["--no-deps", "--editable", "."], "pyproject.toml", wanted.project)

    def join(self, requirements: Sequence[str], wanted: Wanted) -> None:
        """Add what serves the app, without moving what the app has pinned.

        Raises `ReleaseError` that names the app's version and the supported range when the two exclude each other.
        """
        if wanted.form in LOCKED_FORMS:
            refuse_pins(self._heeded(), requirements, wanted.form)
        if unfit(self._heeded(), requirements):
            # The app may allow other versions than those it got; both are asked for together.
            code, _output = self._pip([*wanted.arguments, *requirements], wanted.project)
            outside = unfit(self._heeded(), requirements)
            if code != 0 or outside:
                raise ReleaseError(_conflict(outside, wanted.form))
            return
        installed = self._heeded()
        missing = [requirement for requirement in requirements if split_requirement(requirement)[0] not in installed]
        if not missing:
            return
        words = [*requirements, *self._constraints(installed)]
        code, output = replace(self, options=())._pip(words, Path("/"))
        if code != 0:
            raise ReleaseError(
                explain_refusal(output)
                or f"Gunicorn and its worker cannot be installed beside what {wanted.form} pins: {last_line(output)}",
                output,
            )

    def installed(self) -> dict[str, str]:
        """`{package: version}` of the virtualenv, under normalised names."""
        found = self.place.outside(self.place.venv).glob("lib/python*/site-packages/*.dist-info")
        names = (path.name.removesuffix(".dist-info") for path in found)
        return {normalise(name): version for name, _unused, version in (name.rpartition("-") for name in names)}

    def _heeded(self) -> dict[str, str]:
        """What is installed and has to stay as it is."""
        return {package: version for package, version in self.installed().items() if package not in self.ignored}

    def _sync(self, wanted: Wanted, *, local: bool) -> None:
        if self.settings.index_url:
            self._install_from_mirror(wanted, local=local)
            return
        # What serves the app has joined it in between.
        words = ["sync", "--locked", "--no-dev", "--inexact" if local else "--no-install-workspace"]
        words += ["--python", str(self.python), *self.chosen.words, *self.options]
        code, output = self._uv(words, wanted.project)
        if code != 0:
            raise ReleaseError(explain_install(output, "uv.lock"), output)

    def _install_from_mirror(self, wanted: Wanted, *, local: bool) -> None:
        """Install what uv.lock pins from another index: `uv sync` would take that for a change of the lock."""
        words = ["export", "--quiet", "--locked", "--offline", "--no-dev", "--no-header"]
        words += ["--python", str(self.python), *self.chosen.words, *([] if local else ["--no-emit-workspace"])]
        own_index = replace(self, settings=replace(self.settings, index_url=""))
        code, output = own_index._uv(words, wanted.project)
        if code != 0:
            raise ReleaseError(explain_install("needs to be updated", "uv.lock"), output)
        folders = (wanted.project, *wanted.project.parents)
        workspace = next(folder for folder in folders if (folder / "uv.lock").is_file())
        # What the lock has from an index that is asked for by its name alone, no other one need have.
        named = (index for index in project_indexes(workspace, workspace) if index.get("explicit") is True)
        also = [word for index in named for word in ("--index", f"{index.get('name', '')}={index.get('url', '')}")]
        self._install([*also, "-r", self._note("locked.txt", output)], "uv.lock", workspace)

    def _note(self, name: str, text: str) -> str:
        """Write a file for the units; returns the path at which they see it."""
        note = self.place.notes / name
        self.place.outside(note).write_text(text)
        return str(note)

    def _install(self, words: Sequence[str], form: str, folder: Path) -> None:
        if not words:
            return
        code, output = self._pip(words, folder)
        if code != 0:
            label = form if form in FORMS else f"app_source.package {form}"
            raise ReleaseError(explain_install(output, label), output)

    def _pip(self, words: Sequence[str], folder: Path) -> tuple[int, str]:
        return self._uv(["pip", "install", "--python", str(self.python), *self.options, *words], folder)

    def _uv(self, words: Sequence[str], folder: Path) -> tuple[int, str]:
        place = self.place
        with self.credentials.lent(place) as lent:
            confinement = place.unpacking([self.uv], lent.folders) if self.unpacking else place.building(lent.folders)
            environment = {**self._environment(), **lent.environment}
            code, output = run([self.uv, *words], confinement, environment, folder=self._at(folder))
        if code != 0 and self.unpacking and any(words in output for words in NOT_EXECUTED):
            raise NeedsCodeError(last_line(output))
        return code, output

    def _at(self, folder: Path) -> Path:
        return self.place.inside(folder)

    def _environment(self) -> dict[str, str]:
        return {**self.environment, **self.settings.environment()} | {
            "HOME": str(self.place.cache),
            "UV_CACHE_DIR": str(self.place.cache / "uv"),
            # A link would be another name for a file of the cache, for whatever is built in this virtualenv.
            "UV_LINK_MODE": "hardlink" if self.unpacking and self.links else "copy",
            "UV_NO_PROGRESS": "1",
            "UV_PROJECT_ENVIRONMENT": str(self.place.venv),
            "UV_PYTHON_DOWNLOADS": "never",
        }


@dataclass(frozen=True)
class Bytecode:
    """What is compiled of a finished tree: the app cannot write any. Files that are no valid Python are left alone."""

    place: Place
    interpreter: Path
    version: str  # of Python, as 3.12.4
    sources: Mapping[str, Sequence[Path]]  # the Python files of the tree, by the SHA-256 of their text

    @property
    def tag(self) -> str:
        """How the interpreter calls its bytecode."""
        return "cpython-" + "".join(self.version.split(".")[:2])

    def lend(self) -> list[str]:
        """Add what was compiled of the same text before; returns the hashes of which there is nothing."""
        known = {path.name for path in self.place.bytecode.iterdir()}
        missing = [digest for digest in self.sources if f"{digest}.{self.tag}" not in known]
        self._add(digest for digest in self.sources if f"{digest}.{self.tag}" in known)
        return missing

    def compile(self, missing: Sequence[str]) -> None:
        """Compile and add the rest, where nothing of a package runs."""
        if missing:
            listed, script = self.place.notes / "sources.txt", self.place.notes / "compile.py"
            with self.place.outside(listed).open("w", encoding="utf-8", errors="surrogateescape") as file:
                named = ((digest, str(self.sources[digest][0])) for digest in missing)
                file.writelines(f"{digest} {path}\n" for digest, path in named if "\n" not in path)
            self.place.outside(script).write_text(COMPILE)
            words: list[str | Path] = [self.interpreter, "-I", "-S", script, self.place.bytecode, listed]
            code, output = run(words, self.place.compiling(), {}, folder=Path("/"))
            if code != 0:
                raise ReleaseError(f"The release cannot be compiled: {last_line(output)}", output)
            self._add(missing)
        _forget_bytecode(self.place.bytecode, {f"{digest}.{self.tag}" for digest in self.sources})

    def _add(self, digests: Iterable[str]) -> None:
        made: set[Path] = set()
        for digest in digests:
            compiled = read_plain(self.place.bytecode / f"{digest}.{self.tag}")
            for path in self.sources[digest] if compiled else ():
                folder = path.parent / "__pycache__"
                if folder not in made:
                    folder.mkdir(exist_ok=True)
                    made.add(folder)
                (folder / f"{path.stem}.{self.tag}.pyc").write_bytes(compiled)


def _forget_bytecode(folder: Path, used: set[str]) -> None:
    """Remove what this release does not use and was compiled long ago."""
    before = time.time() - KEEP_BYTECODE
    for entry in os.scandir(folder):
        if entry.name not in used and entry.stat(follow_symlinks=False).st_mtime < before:
            Path(entry.path).unlink()


@dataclass(frozen=True)
class Wanted:
    """What a source depends on, as root has read it before any code of it ran."""

    form: str  # one of `FORMS`, or the requirement of a package in the index
    project: Path
    arguments: Sequence[str] = ()  # of an installation, where the form is not a lock
    local: bool = False  # whether the source itself is to be built after that

    @property
    def locked(self) -> bool:
        """Whether the source says which version of each package it has, as far as it names them."""
        if is_list(self.form):
            return pins_all(text_of(self.project / self.form))
        return self.form in LOCKED_FORMS

    def extras_of(self, package: str) -> str:
        """The extras that the source asks of a package, in brackets; empty where it asks for none."""
        lines = list(self.arguments)
        if is_list(self.form):
            lines = list(lines_of(text_of(self.project / self.form)))
        elif self.form == "pyproject.toml":
            lines += read_pyproject(self.project).get("project", {}).get("dependencies", [])
        found = (re.match(r"([\w.-]*\w)\s*(\[[^\]]*\])", line) for line in lines)
        return next((each[2] for each in found if each and normalise(each[1]) == package), "")

    @classmethod
    def read(cls, form: str, project: Path, chosen: Chosen) -> Wanted:
        """What the project wants."""
        buildable = is_buildable(project)
        if form == "uv.lock":
            return cls(form, project, local=_has_local_packages(project))
        if form == "pylock.toml":
            return cls(form, project, ["-r", form], buildable)
        if is_list(form):
            hashed = "--hash=" in text_of(project / form)
            return cls(form, project, ["-r", form, *(["--require-hashes"] if hashed else [])], buildable)
        if form != "pyproject.toml":
            package, equals, version = form.partition("==")
            extras = f"[{','.join(chosen.extras)}]" if chosen.extras else ""
            return cls(form, project, [f"{package}{extras}{equals}{version}"])
        described = read_pyproject(project)
        # Where a package is to come from says the file alone, and not the list in it.
        if chosen.words or buildable or described.get("tool", {}).get("uv", {}).get("sources"):
            return cls(form, project, ["-r", form, *chosen.words], buildable)
        return cls(form, project, list(described.get("project", {}).get("dependencies", [])))


def _has_local_packages(project: Path) -> bool:
    """Whether uv.lock has packages that are built from the source; one that cannot be read might."""
    lock = next((folder / "uv.lock" for folder in (project, *project.parents) if (folder / "uv.lock").is_file()), None)
    try:
        packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"] if lock else []
        return any({"editable", "directory"} & set(package.get("source", {})) for package in packages)
    except (ValueError, KeyError, TypeError, AttributeError):
        return True


def read_pyproject(project: Path) -> dict[str, Any]:
    """The project's pyproject.toml, empty when there is none; raises `ReleaseError` when it is not TOML."""
    path = project / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReleaseError(f"pyproject.toml of the source cannot be read: {error}.") from error


def project_indexes(root: Path, project: Path) -> list[dict[str, Any]]:
    """The indexes that a project names for uv, in its folder or above it in its source."""
    found: list[dict[str, Any]] = []
    for folder in (project, *(parent for parent in project.parents if parent.is_relative_to(root))):
        named = read_pyproject(folder).get("tool", {}).get("uv", {}).get("index", [])
        found += [index for index in named if isinstance(index, dict)]
    return found


def is_buildable(project: Path) -> bool:
    """Whether the project says how it is built, and is not only a list of what the app depends on."""
    described = read_pyproject(project)
    tools = described.get("tool", {})
    no_package = False in (tools.get("poetry", {}).get("package-mode"), tools.get("uv", {}).get("package"))
    return "build-system" in described and not no_package


def refuse_pins(pins: Mapping[str, str], requirements: Sequence[str], form: str, python: str = "") -> None:
    """Refuse, before anything is installed, what a source pins and cannot be served with."""
    if outside := unfit(pins, requirements) | unfit_typing(pins, python):
        raise ReleaseError(_conflict(outside, form))


def _conflict(outside: Mapping[str, tuple[str, str]], form: str) -> str:
    listed = ", ".join(f"{package} {version} (supported: {range_})" for package, (version, range_) in outside.items())
    return (
        f"The app asks for versions that it cannot be served with: {listed}; change them in {form}, or set"
        f" app_ignore_pins: [{', '.join(outside)}] if its code does not depend on them."
    )
