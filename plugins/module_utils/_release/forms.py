# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which file of a source says what the app depends on, and which versions that file pins.

Locks of other tools are not read, and never ignored: without them the newest versions would be installed.
"""

from __future__ import annotations

import codecs
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError, normalise

LOCKED_FORMS = ("uv.lock", "pylock.toml")
FORMS = (*LOCKED_FORMS, "requirements.txt", "pyproject.toml")

# Another file with requirements, as `app_dependencies` names it: somewhere in the source.
LISTED = re.compile(r"(?!/)(?!(.*/)?\.\.(/|$))[^\s].*\.txt")
# How many of those that a source has are named to whoever has named none.
SUGGESTED = 3

# Files of other tools that hold the versions an app was tried with, and the command that makes a lock of them that is
# read here. The first that a source has is the one that is named.
FOREIGN = {
    "poetry.lock": "poetry export -o requirements.txt (of the plugin poetry-plugin-export)",
    "pdm.lock": "pdm export --prod -o requirements.txt",
    "Pipfile.lock": "pipenv requirements --hash > requirements.txt",
    "Pipfile": "pipenv lock && pipenv requirements --hash > requirements.txt",
    "conda-lock.yml": "pip list --format=freeze > requirements.txt (inside of the environment)",
    "environment.yml": "pip list --format=freeze > requirements.txt (inside of the environment)",
    "environment.yaml": "pip list --format=freeze > requirements.txt (inside of the environment)",
    "setup.py": "uv pip compile setup.py -o requirements.txt",
}


def detect_form(root: Path, project: Path, wanted: str, has: Callable[[Path], bool] = Path.is_file) -> str:
    """Which file says what the app depends on, in the order of `FORMS`.

    The lock of a uv workspace is at the workspace's root, somewhere from the project's folder up to the source's root.
    Raises `ReleaseError` when there is none, or when the versions are in a file of another tool and `wanted` is `auto`.
    """
    folders = [project, *(parent for parent in project.parents if parent.is_relative_to(root))]
    if is_list(wanted):
        return _named_list(root, project, wanted, has)
    present = [
        form for form in FORMS if any(has(folder / form) for folder in (folders if form == "uv.lock" else [project]))
    ]
    if wanted != "auto":
        if wanted not in present:
            raise ReleaseError(f"app_dependencies: the source has no {wanted}; it has {', '.join(present) or 'none'}.")
        return wanted
    # A lock of some parent folder says nothing about a folder that is not a Python project.
    if present[:1] == ["uv.lock"] and not has(project / "pyproject.toml"):
        present.remove("uv.lock")
    form = present[0] if present else ""
    foreign = _foreign(project, form, has)
    if foreign:
        meant = f", or set app_dependencies: {form} if its newest versions are meant" if form else ""
        text = text_of(project / form) if is_list(form) else ""
        if (loose := _without_version(text)) and any(map(_pin, requirements(text))):
            meant = f"; a version for {' and '.join(loose[:SUGGESTED])} makes a lock of {form}{meant}"
        raise ReleaseError(
            f"app_source: the versions of this app are in {foreign}, which is not read here; run"
            f" {FOREIGN[foreign]} and commit what it writes{meant}."
        )
    if not form:
        elsewhere = _lists(root, has)
        meant = f"; or set app_dependencies to {' or '.join(elsewhere)}, which it has" if elsewhere else ""
        raise ReleaseError(f"app_source: the source needs one of {', '.join(FORMS)} beside the app{meant}.")
    return form


def is_list(form: str) -> bool:
    """Whether a form is a requirements.txt, by whatever name."""
    return LISTED.fullmatch(form.replace("../", "")) is not None


def _named_list(root: Path, project: Path, wanted: str, has: Callable[[Path], bool]) -> str:
    """The path, from the app's folder, of a file that is named from there or from the top of the source."""
    for folder in (project, root):
        file = folder / wanted
        if has(file) and not file.is_symlink() and file.resolve().is_relative_to(root.resolve()):
            return Path(os.path.relpath(file, project)).as_posix()
    there = _lists(root, has)
    raise ReleaseError(f"app_dependencies: the source has no file {wanted}; it has {', '.join(there) or 'none'}.")


def _lists(root: Path, has: Callable[[Path], bool]) -> list[str]:
    """The files of a source that may be lists of requirements, the nearest to its top first."""
    found = [path for path in root.glob("**/*.txt") if "requirements" in str(path.relative_to(root)) and has(path)]
    named = sorted((len(path.parts), path.relative_to(root).as_posix()) for path in found)
    return [name for _depth, name in named if "node_modules" not in name][:SUGGESTED]


def _foreign(project: Path, form: str, has: Callable[[Path], bool]) -> str:
    """The file of another tool that would be ignored if `form` were taken; empty when there is none."""
    if form in LOCKED_FORMS:
        return ""
    if is_list(form) and pins_all(text_of(project / form)):
        return ""
    # Who writes requirements.txt by hand has said what is meant, unless there is a lock as well.
    locks = [name for name in FOREIGN if not is_list(form) or name.endswith((".lock", "conda-lock.yml"))]
    for name in locks:
        if has(project / name) and not (name == "setup.py" and form and _describes(project / form)):
            return name
    return ""


def _describes(pyproject: Path) -> bool:
    """Whether pyproject.toml says what the project is or how it is built, and not only how its tools are set."""
    try:
        return bool({"project", "build-system"} & set(tomllib.loads(text_of(pyproject))))
    except tomllib.TOMLDecodeError:
        return True


def text_of(path: Path) -> str:
    """The text of a file; `pip freeze` of PowerShell writes UTF-16, which pip and uv read as well."""
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return content.decode(encoding, errors="replace")


# Files of other platforms that are not read here, and where what they say belongs.
UNREAD = {
    "Procfile": "app_entrypoint, app_processes and app_migrate_command",
    "gunicorn.conf.py": "the variables gunicorn_*",
    "runtime.txt": "app_python",
    ".env": "app_environment",
}


def unread_files(root: Path, project: Path) -> str:
    """One sentence about the files of other platforms in a source; empty when it has none."""
    found = [name for name in UNREAD if any((folder / name).is_file() for folder in (root, project))]
    told = "; ".join(f"what {name} says belongs into {UNREAD[name]}" for name in found)
    return f"app_source: the roles do not read {', '.join(found)}: {told}." if found else ""


@dataclass(frozen=True)
class Chosen:
    """What an app is installed with beside its dependencies: its extras, and its dependency groups."""

    extras: Sequence[str] = ()
    groups: Sequence[str] = ()

    @property
    def words(self) -> list[str]:
        """The options of uv."""
        named = [("--extra", self.extras), ("--group", self.groups)]
        return [word for option, names in named for name in names for word in (option, name)]

    def check(self, form: str, pyproject: Mapping[str, Any]) -> None:
        """Raise `ReleaseError` when the form has none of these."""
        project = pyproject.get("project", {})
        known = {"app_groups": (self.groups, pyproject.get("dependency-groups", {}))}
        of_index = form not in FORMS and not is_list(form)  # which knows the extras of its packages
        if not of_index and "optional-dependencies" not in project.get("dynamic", []):
            known["app_extras"] = (self.extras, project.get("optional-dependencies", {}))
        for variable, (wanted, there) in known.items():
            if wanted and (of_index or form == "pylock.toml" or is_list(form)):
                raise ReleaseError(
                    f"{variable}: {form} has no {', '.join(wanted)}; write there what is missing, or set"
                    " app_dependencies to uv.lock or pyproject.toml."
                )
            missing = sorted({normalise(name) for name in wanted} - set(map(normalise, there)))
            if missing:
                raise ReleaseError(
                    f"{variable}: pyproject.toml has no {', '.join(missing)}; it has {', '.join(there) or 'none'}."
                )


# What an app is installed with that asks for nothing.
PLAIN = Chosen()


def pinned(form: str, root: Path, project: Path, chosen: Chosen = PLAIN) -> dict[str, str]:
    """`{package: version}` of what the form pins for every host, as far as that can be read without an installer."""
    if is_list(form):
        return pins_of(text_of(project / form))
    packages = locked_packages(form, root, project, chosen)
    try:
        found = [(normalise(each["name"]), each["version"]) for each in packages if "marker" not in each]
    except (KeyError, TypeError):
        return {}
    # Of a package with several versions, which one a host gets is for the installer to say.
    names = [name for name, _version in found]
    return {name: version for name, version in found if names.count(name) == 1}


def locked_packages(form: str, root: Path, project: Path, chosen: Chosen = PLAIN) -> list[dict[str, Any]]:
    """The packages of a lock that belong to the project; none where it is no lock, or cannot be read."""
    folders = [project, *(parent for parent in project.parents if parent.is_relative_to(root))]
    lock = next((folder / form for folder in folders if (folder / form).is_file()), None)
    try:
        content = tomllib.loads(text_of(lock)) if lock and form in LOCKED_FORMS else {}
        packages: list[dict[str, Any]] = content.get("packages" if form == "pylock.toml" else "package", [])
        if form == "uv.lock":
            described = tomllib.loads(text_of(project / "pyproject.toml"))
            packages = _reached(packages, normalise(described["project"]["name"]), chosen)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        # What is wrong with it, the installer says better.
        return []
    return packages


def _reached(packages: list[dict[str, Any]], project: str, chosen: Chosen) -> list[dict[str, Any]]:
    """The packages of a uv.lock to which the dependencies of a project lead, on whichever host."""
    named: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        named.setdefault(package["name"], []).append(package)
    reached: set[tuple[str, str]] = set()
    ahead = [(project, extra) for extra in ("", *map(normalise, chosen.extras))]
    for package in named.get(project, []):
        for group in map(normalise, chosen.groups):
            ahead += [(each["name"], "") for each in package.get("dev-dependencies", {}).get(group, [])]
    while ahead:
        name, extra = ahead.pop()
        if (name, extra) in reached:
            continue
        reached.add((name, extra))
        for package in named.get(name, []):
            of_extras = package.get("optional-dependencies", {})
            for each in of_extras.get(extra, []) if extra else package.get("dependencies", []):
                ahead += [(each["name"], wanted) for wanted in ("", *each.get("extra", []))]
    names = {name for name, _extra in reached} - {project}
    return [package for name in names for package in named.get(name, []) if "version" in package]


def requirements(text: str) -> Iterator[str]:
    """The requirements of a requirements.txt, each without its options, hashes and comments."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        stripped = re.sub(r"(^|\s)#.*", "", line).strip()
        if stripped:
            yield re.split(r"\s+--?[a-z]", stripped)[0]


def pins_all(text: str) -> bool:
    """Whether a requirements.txt is a lock: it names a version, an address or a path for all that it has."""
    return any(not _is_option(line) for line in requirements(text)) and not _without_version(text)


def _without_version(text: str) -> list[str]:
    """The lines of a requirements.txt that name no version, address or path."""
    found = [line for line in requirements(text) if not _is_option(line)]
    return [line for line in found if not (" @ " in line or "/" in line or line == "." or _pin(line))]


def pins_of(text: str) -> dict[str, str]:
    """`{package: version}` of what a requirements.txt pins on every host, under normalised names.

    Of a series (`~=0.26.0`, `==0.26.*`) it is the version that the series begins with.
    """
    return dict(pin for line in requirements(text) if ";" not in line and (pin := _pin(line) or _series(line)))


def _is_option(line: str) -> bool:
    # What other files add is not known to be pinned.
    return line.startswith("-") and not re.match(r"-(r|-requirement)\b", line)


def _pin(line: str) -> tuple[str, str] | None:
    found = re.match(r"([\w.-]*\w)\s*(?:\[[^\]]*\])?\s*===?\s*([\w.!+-]+)\s*(;|,|$)", line)
    return (normalise(found[1]), found[2]) if found else None


def _series(line: str) -> tuple[str, str] | None:
    extras = r"([\w.-]*\w)\s*(?:\[[^\]]*\])?\s*"
    found = re.fullmatch(rf"{extras}~=\s*(\d+(?:\.\d+){{2}})\s*", line)
    found = found or re.fullmatch(rf"{extras}==\s*(\d+(?:\.\d+)*)\.\*\s*", line)
    return (normalise(found[1]), found[2]) if found else None
