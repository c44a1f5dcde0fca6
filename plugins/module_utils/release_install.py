# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filling a virtualenv: with uv, which is installed once for all apps, or with the pip of Debian."""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils.release_host import PATH, Account, Settings, run
from ansible_collections.production.fastapi.plugins.module_utils.release_rules import (
    FORMS,
    LOCKED_FORMS,
    ReleaseError,
    explain_install,
    last_line,
    normalise,
    split_requirement,
    unfit,
)

TOOLS = Path("/opt/production.fastapi")
WHEELS = Path("/usr/share/python-wheels")

# Compiling is most of a build's time. uv links files from its cache, so one inode is one source, and what another
# release has compiled of it holds here; compileall does the rest. For a little of it, processes would start longer than
# they compile.
COMPILE = """
import compileall, contextlib, os, sys
former, lib, source = sys.argv[1:]
missing = 0
for folder, _, names in os.walk(lib):
    twin = former + folder.removeprefix(lib)
    for name in names:
        if not name.endswith(".py"):
            continue
        missing += 1
        compiled = f"__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"
        with contextlib.suppress(OSError):
            if os.path.samefile(f"{folder}/{name}", f"{twin}/{name}"):
                os.makedirs(f"{folder}/__pycache__", exist_ok=True)
                os.link(f"{twin}/{compiled}", f"{folder}/{compiled}")
                missing -= 1
workers = 1 if missing < 500 else 0
compileall.compile_dir(lib, quiet=2, workers=workers)
compileall.compile_dir(source, quiet=2, workers=workers)
"""


def pip_command() -> list[str]:
    """Debian's pip, run from its wheel: neither a virtualenv nor ensurepip is needed for it."""
    wheel = max(WHEELS.glob("pip-*.whl"), default=None)
    if wheel is None:
        raise ReleaseError("The Debian package python3-pip-whl is not installed on the host.")
    return ["/usr/bin/python3", f"{wheel}/pip"]


def install_uv(version: str, settings: Settings, tools: Path = TOOLS) -> Path:
    """The program uv of this version; fetched from the index when it is not there yet."""
    home = tools / f"uv-{version}"
    if not (home / "bin" / "uv").is_file():
        tools.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tools, prefix=".uv-") as name:
            stage = Path(name) / home.name
            words = ["install", "--quiet", "--no-deps", "--only-binary=:all:", "--no-compile", f"--target={stage}"]
            environment = settings.environment() | {
                "HOME": name,
                "PIP_NO_CACHE_DIR": "1",
                "PIP_ROOT_USER_ACTION": "ignore",
            }
            # A wheel is only unpacked: nothing of it runs while root installs it.
            code, output = run([*pip_command(), *words, f"uv=={version}"], Account(None), environment, folder=Path("/"))
            if code != 0:
                raise ReleaseError(f"uv {version} cannot be installed: {last_line(output)}", output)
            if not home.exists():
                stage.rename(home)
    return home / "bin" / "uv"


def find_python(wanted: str, uv: Path | None, settings: Settings, tools: Path = TOOLS) -> Path:
    """The interpreter for the app: the host's own, a `3.12` that the host has, or one that uv installs."""
    if not wanted:
        return Path("/usr/bin/python3").resolve()
    found = shutil.which(f"python{wanted}", path=PATH)
    if found:
        return Path(found).resolve()
    if uv is None:
        raise ReleaseError(f"app_python: the host has no python{wanted}, and only uv could install one.")
    with tempfile.TemporaryDirectory() as home:
        environment = settings.environment() | {
            "HOME": home,
            "UV_NO_CACHE": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_INSTALL_DIR": str(tools / "python"),
        }
        for command in (["install", "--no-bin"], ["find", "--managed-python"]):
            code, output = run([uv, "python", *command, wanted], Account(None), environment, folder=Path(home))
            if code != 0:
                break
    if code != 0:
        raise ReleaseError(
            f"app_python: the host has no python{wanted}, and uv cannot install one: {last_line(output)}", output
        )
    return Path(output.strip().splitlines()[-1])


@dataclass(frozen=True)
class Installer:
    """Installs into one virtualenv, as the app's user."""

    uv: Path | None
    venv: Path
    account: Account
    settings: Settings
    cache: Path
    options: Sequence[str] = ()

    @property
    def name(self) -> str:
        """`uv` or `pip`."""
        return "uv" if self.uv else "pip"

    @property
    def python(self) -> Path:
        """The interpreter of the virtualenv."""
        return self.venv / "bin" / "python"

    def create(self, interpreter: Path) -> None:
        """Make the virtualenv, empty."""
        code, output = self._run([interpreter, "-m", "venv", "--without-pip", self.venv], folder=Path("/"))
        if code != 0:
            raise ReleaseError(f"app_python: {interpreter} cannot make a virtualenv: {last_line(output)}", output)

    def install_project(self, form: str, project: Path) -> None:
        """Install what the app depends on, and the app itself when it can be built.

        `form` is one of the files in `FORMS`, or the requirement of a package in the index.
        """
        if form in LOCKED_FORMS and self.uv is None:
            raise ReleaseError(f"app_installer: {form} needs uv; use uv, or give the app a requirements.txt.")
        if form == "uv.lock":
            self._sync(project)
        elif form == "pylock.toml":
            self._install(["-r", form], form, project)
        else:
            self._install(self._wanted(form, project), form, project)
        if form in ("pylock.toml", "requirements.txt") and is_buildable(project):
            self._install(["--no-deps", "--editable", "."], "pyproject.toml", project)

    def join(self, requirements: Sequence[str], form: str, project: Path) -> None:
        """Add what serves the app, without moving what the app has pinned.

        Raises `ReleaseError` that names the app's version and the supported range when the two exclude each other.
        """
        outside = unfit(self.installed(), requirements)
        if outside and form in LOCKED_FORMS:
            raise ReleaseError(_conflict(outside, form))
        if outside:
            # The app may allow other versions than those it got; both are asked for together.
            code, _output = self._pip([*self._wanted(form, project), *requirements], project)
            outside = unfit(self.installed(), requirements)
            if code != 0 or outside:
                raise ReleaseError(_conflict(outside, form))
            return
        installed = self.installed()
        missing = [requirement for requirement in requirements if split_requirement(requirement)[0] not in installed]
        if not missing:
            return
        pins = self.venv.with_name("pins.txt")
        pins.write_text("".join(f"{package}=={version}\n" for package, version in sorted(installed.items())))
        try:
            code, output = self._pip([*requirements, "--constraint", str(pins)], Path("/"))
        finally:
            pins.unlink()
        if code != 0:
            raise ReleaseError(
                f"Gunicorn and its worker cannot be installed beside what {form} pins: {last_line(output)}", output
            )

    def finish(self, source: Path, former: Path) -> None:
        """Compile all bytecode: the app cannot write any later. Files that are no valid Python are left alone.

        The virtualenv `former` of another release lends the bytecode of what both have; there may be none.
        """
        # uv's own lock on the virtualenv stays behind, and everybody may write to it.
        (self.venv / ".lock").unlink(missing_ok=True)
        self._run([self.python, "-c", COMPILE, former / "lib", self.venv / "lib", source], folder=Path("/"))

    def installed(self) -> dict[str, str]:
        """`{package: version}` of the virtualenv, under normalised names."""
        names = (
            path.name.removesuffix(".dist-info") for path in self.venv.glob("lib/python*/site-packages/*.dist-info")
        )
        return {normalise(name): version for name, _unused, version in (name.rpartition("-") for name in names)}

    def _sync(self, project: Path) -> None:
        if self.settings.index_url:
            self._install_from_mirror(project)
            return
        words = ["sync", "--locked", "--no-dev", "--python", str(self.python), *self.options]
        code, output = self._run([str(self.uv), *words], folder=project)
        if code != 0:
            raise ReleaseError(explain_install(output, "uv.lock"), output)

    def _install_from_mirror(self, project: Path) -> None:
        """Install what uv.lock pins from another index: `uv sync` would take that for a change of the lock."""
        words = ["export", "--quiet", "--locked", "--offline", "--no-dev", "--no-header"]
        own_index = replace(self, settings=replace(self.settings, index_url=""))
        code, output = own_index._run([str(self.uv), *words, "--python", str(self.python)], folder=project)
        if code != 0:
            raise ReleaseError(explain_install("needs to be updated", "uv.lock"), output)
        workspace = next(folder for folder in (project, *project.parents) if (folder / "uv.lock").is_file())
        pins = self.venv.with_name("locked.txt")
        pins.write_text(output)
        self._install(["-r", str(pins)], "uv.lock", workspace)
        pins.unlink()

    def _wanted(self, form: str, project: Path) -> list[str]:
        """What an unlocked form asks for, as arguments of an installation; a form that is no file is a requirement."""
        if form == "requirements.txt":
            hashed = "--hash=" in (project / form).read_text(encoding="utf-8", errors="replace")
            return ["-r", form, *(["--require-hashes"] if hashed else [])]
        if form != "pyproject.toml":
            return [form]
        if is_buildable(project):
            return ["--editable", "."]
        return list(read_pyproject(project).get("project", {}).get("dependencies", []))

    def _install(self, words: Sequence[str], form: str, folder: Path) -> None:
        if not words:
            return
        code, output = self._pip(words, folder)
        if code != 0:
            label = form if form in FORMS else f"app_source.package {form}"
            raise ReleaseError(explain_install(output, label), output)

    def _pip(self, words: Sequence[str], folder: Path) -> tuple[int, str]:
        if self.uv:
            command = [str(self.uv), "pip", "install", "--python", str(self.python)]
        else:
            command = [*pip_command(), "--python", str(self.python), "install", "--no-compile"]
        return self._run([*command, *self.options, *words], folder=folder)

    def _run(self, command: Sequence[str | Path], *, folder: Path) -> tuple[int, str]:
        environment = self.settings.environment() | {
            "HOME": str(self.cache),
            "UV_CACHE_DIR": str(self.cache / "uv"),
            "UV_NO_PROGRESS": "1",
            "UV_PROJECT_ENVIRONMENT": str(self.venv),
            "UV_PYTHON_DOWNLOADS": "never",
            "PIP_CACHE_DIR": str(self.cache / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
        }
        return run(command, self.account, environment, folder=folder)


def read_pyproject(project: Path) -> dict[str, Any]:
    """The project's pyproject.toml, empty when there is none; raises `ReleaseError` when it is no TOML."""
    path = project / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReleaseError(f"pyproject.toml of the source cannot be read: {error}.") from error


def is_buildable(project: Path) -> bool:
    """Whether the project says how it is built, and so can be installed."""
    return "build-system" in read_pyproject(project)


def _conflict(outside: Mapping[str, tuple[str, str]], form: str) -> str:
    listed = ", ".join(f"{package} {version} (supported: {range_})" for package, (version, range_) in outside.items())
    return f"The app asks for versions that it cannot be served with: {listed}; change them in {form}."
