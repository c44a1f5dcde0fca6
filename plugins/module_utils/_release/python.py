# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Python of a release: what the operator or the project asks for, and the interpreter that it gets."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.host import (
    PATH,
    Account,
    Confinement,
    Settings,
    run,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import (
    OLDEST,
    ReleaseError,
    in_range,
    last_line,
)

OWN = Path("/usr/bin/python3")
VERSION_FILE = ".python-version"
DOCKERFILE = "Dockerfile"
# What an image is made from, such as `python:3.12-slim`.
IMAGE = re.compile(r"^(?:FROM\s+(?:--\S+\s+)?|ARG\s+\w+=)\S*python:?3\.([0-9]+)(?![0-9])", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Wish:
    """A version such as `3.12`, a range such as `>=3.12`, or nothing, and who asks for it."""

    version: str = ""
    by: str = ""

    @classmethod
    def read(cls, setting: str, root: Path, project: Path, pyproject: Mapping[str, Any]) -> Wish:
        """`app_python`, else `.python-version` beside the app or above it, else the project's range, else a Dockerfile.

        Raises `ReleaseError` when `.python-version` names something other than CPython.
        """
        if setting:
            return cls(setting, "app_python")
        folders = [project, *(parent for parent in project.parents if parent.is_relative_to(root))]
        for folder in folders:
            if (folder / VERSION_FILE).is_file():
                named = _first_line(folder / VERSION_FILE)
                found = re.fullmatch(r"(?:c?python[-@]?)?(3\.[0-9]+)(?:\.[0-9]+)?", named)
                if found:
                    return cls(found[1], VERSION_FILE)
                if named not in ("", "3", "system"):
                    raise ReleaseError(
                        f'app_python: {VERSION_FILE} says {named}; set app_python to a version such as "3.12".'
                    )
                break
        if required := pyproject.get("project", {}).get("requires-python", ""):
            return cls(str(required), "requires-python")
        if allowed := range_of_poetry(pyproject):
            return cls(allowed, "tool.poetry")
        image = next((named for folder in folders if (named := _image(folder / DOCKERFILE))), "")
        return cls(image, DOCKERFILE) if image else cls()

    @property
    def is_range(self) -> bool:
        """Whether several versions will do."""
        return not re.fullmatch(r"3\.[0-9]+", self.version)


def _image(file: Path) -> str:
    """The Python of the last image that a Dockerfile begins with, or the nearest; empty where it names none."""
    found = IMAGE.findall(file.read_text(encoding="utf-8", errors="replace")) if file.is_file() else []
    return f"3.{max(int(found[-1]), OLDEST)}" if found else ""


def _first_line(file: Path) -> str:
    lines = (line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def range_of_poetry(pyproject: Mapping[str, Any]) -> str:
    """The Pythons of `[tool.poetry.dependencies]`, as `requires-python` has it: `^3.11` is `>=3.11,<4`.

    Empty where it has none, or alternatives (`||`), of which a range cannot be made.
    """
    named = pyproject.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python", "")
    parts = [part.strip() for part in named.split(",")] if isinstance(named, str) else []
    ranges = [_part_of_poetry(part) for part in parts]
    return ",".join(ranges) if ranges and all(ranges) else ""


def _part_of_poetry(part: str) -> str:
    found = re.fullmatch(r"([\^~]|~=|===?|!=|<=|>=|<|>)?\s*(([0-9]+)(?:\.([0-9]+))?(?:\.[0-9]+)?)(\.\*)?", part)
    if found is None:
        return ""
    operator, version, major, minor, wildcard = found.groups()
    if operator == "^" or (operator == "~" and minor is None):
        return f">={version},<{int(major) + 1}"
    if operator == "~":
        return f">={version},<{major}.{int(minor) + 1}"
    if operator is None:
        return f"=={version}{wildcard or '.*'}"
    return f"{operator}{version}{wildcard or ''}"


def allows(range_: str, version: str) -> bool:
    """Whether a version such as `3.11.2` is in a range as `requires-python` has it; what is not a range allows all."""
    return all(_allows(part.strip(), version) for part in range_.split(",") if part.strip())


def _allows(part: str, version: str) -> bool:
    found = re.fullmatch(r"(~=|===?|!=|<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)*)(\.\*)?", part)
    if found is None:
        return True
    operator, number, wildcard = found[1].replace("===", "=="), found[2], found[3]
    begins = f"{version}.".startswith(f"{number}.")
    if wildcard:
        return begins is (operator == "==")
    if operator == "~=":
        series = number.rpartition(".")[0]
        return in_range(version, f">={number}") and f"{version}.".startswith(f"{series}.")
    return in_range(version, f"{operator}{number}")


def host_pythons(path: str = PATH) -> list[Path]:
    """The interpreters of the host, its own first, then the newest first."""
    found = {entry.name: entry for folder in reversed(path.split(":")) for entry in Path(folder).glob("python3.*")}
    named = {name: entry for name, entry in found.items() if re.fullmatch(r"python3\.[0-9]+", name)}
    newest = sorted(named.values(), key=lambda entry: int(entry.name.removeprefix("python3.")), reverse=True)
    own = OWN.resolve()
    return [own, *(entry.resolve() for entry in newest if entry.resolve() != own)]


def find_python(wish: Wish, uv: Path, settings: Settings, tools: Path, path: str = PATH) -> Path:
    """The interpreter for the app: one of the host, or one that uv installs in the folder `tools`.

    What a Dockerfile names is what the app was tried with; where it cannot be had, the host's own has to do. Raises
    `ReleaseError` when there is none.
    """
    if not wish.version:
        return OWN.resolve()
    if wish.is_range:
        found = next((python for python in host_pythons(path) if allows(wish.version, version_of(python))), None)
    else:
        named = shutil.which(f"python{wish.version}", path=path)
        found = Path(named).resolve() if named else None
    try:
        return found or _install_python(wish, uv, settings, tools, path)
    except ReleaseError:
        if wish.by != DOCKERFILE:
            raise
        return OWN.resolve()


def version_of(python: Path) -> str:
    """The version of an interpreter, as 3.11.2; empty when it does not run."""
    words: list[str | Path] = [python, "-I", "-S", "-c", "import sys; print(*sys.version_info[:3], sep='.')"]
    code, output = run(words, Confinement(Account(None)), {}, folder=Path("/"), timeout=60)
    return output.strip() if code == 0 else ""


def _install_python(wish: Wish, uv: Path, settings: Settings, tools: Path, path: str) -> Path:
    with tempfile.TemporaryDirectory() as home:
        environment = settings.environment() | {
            "HOME": home,
            "UV_NO_CACHE": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_INSTALL_DIR": str(tools / "python"),
        }
        for command in (["install", "--no-bin"], ["find", "--managed-python"]):
            words: list[str | Path] = [uv, "python", *command, wish.version]
            code, output = run(words, Confinement(Account(None)), environment, folder=Path(home))
            if code != 0:
                break
    if code == 0 and output.strip():
        return Path(output.strip().splitlines()[-1])
    of_host = ", ".join(python.name.removeprefix("python") for python in host_pythons(path))
    raise ReleaseError(
        f"app_python: {wish.by} asks for Python {wish.version}, the host has {of_host}, and uv cannot install it:"
        f" {last_line(output)}",
        output,
    )
