# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a source on the controller asks for and the settings do not give: hints, told at once before a first run.

The source is read and never run, so what is found may be more or less than the app needs. Nothing is refused by it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import COMPILER, ReleaseError, in_words
from ansible_collections.production.fastapi.plugins.plugin_utils.source.environment import read_by
from ansible_collections.production.fastapi.plugins.plugin_utils.source.files import COMPOSE, Source, depend, read
from ansible_collections.production.fastapi.plugins.plugin_utils.source.imports import reached
from ansible_collections.production.fastapi.plugins.plugin_utils.source.needs import (
    missing_packages,
    to_compile,
    too_old,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.source.syntax import name_of
from ansible_collections.production.fastapi.plugins.plugin_utils.source.writes import beside, made_by, named_in

MOST_NAMED = 12
# Packages of an image that a build or a developer needs, and the roles or their host have.
USUAL = {
    "build-essential",
    "ca-certificates",
    "curl",
    "gcc",
    "g++",
    "git",
    "gnupg",
    "make",
    "postgresql-client",
    "supervisor",
}
WORKER = re.compile(
    r"\b(celery\s[^\"'\n&|;]*\bworker\b[^\"'\n&|;}]*|(?:arq|dramatiq|rq worker|taskiq worker)\s[\w.:]+)"
)
# A database in alembic.ini that is the same everywhere.
FIXED_URL = re.compile(r"^sqlalchemy\.url\s*=\s*(?!driver:)\w[\w+]*://(?:[^@/\s%]*@)?([\w.-]+)", re.MULTILINE)
# A line of requirements.txt that installs the project itself.
INSTALLS = re.compile(r"^\s*(-e\s+)?\.", re.MULTILINE)
APT = re.compile(r"apt(?:-get)?\s+(?:-\S+\s+)*install\s+([^&|;\n]*)")


@dataclass(frozen=True)
class Needs:
    """Names of the environment that a module reads, and for which it has no value."""

    path: str
    names: list[str]


def hints(folder: Path, source: Mapping[str, Any], settings: Mapping[str, Any], python: str = "") -> list[str]:
    """A sentence for each thing that the source asks for.

    `settings` are those of the role app, and `python` is the version that the host has.
    """
    try:
        known = read(folder, str(source.get("subdirectory", "")).strip("/"), source.get("include", ()))
        depend(known, folder, settings, python)
    except (ReleaseError, OSError):
        return []  # which the module `release` says
    found: list[Callable[[Source, Mapping[str, Any]], Iterator[str]]] = [
        entrypoints,
        dependencies,
        missing,
        environment,
        migrations,
        workers,
        schedules,
        front_ends,
        packages,
        compiled,
        wheels,
        writes,
    ]
    return [sentence for hint in found for sentence in hint(known, settings)]


def entrypoints(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """An entry point that the source does not have, or none."""
    there = apps(source)
    wanted = str(settings.get("app_entrypoint") or "")
    module = wanted.partition(":")[0].replace(".", "/")
    at_top, in_src = ({f"{folder}{module}{end}" for end in (".py", "/__init__.py")} for folder in ("", "src/"))
    path = str((settings.get("app_environment") or {}).get("PYTHONPATH", ""))
    if wanted and source.files & in_src and not source.files & at_top and not INSTALLS.search(source.listed):
        if "requirements.txt" in source.files and "src" not in path:
            name = wanted.partition(":")[0]
            yield f"app_environment: {name} is in src, which nothing installs; write PYTHONPATH: src."
    elif wanted and not source.files & (at_top | in_src):
        which = f"; it has {' and '.join(there[:3])}" if there else ""
        yield f"app_entrypoint: the app's folder has no module {wanted.partition(':')[0]}{which}."
    elif not wanted and there and not any("[tool.fastapi]" in text for text in source.above.values()):
        yield f"app_entrypoint: write {' or '.join(there[:3])}, which the source has."


def apps(source: Source) -> list[str]:
    """The entry points that a source has."""
    return [f"{module_of(path)}:{name}" for path, tree in source.modules.items() for name in apps_of(tree)]


def module_of(path: str) -> str:
    """The name by which a file is imported."""
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def apps_of(tree: ast.Module) -> Iterator[str]:
    """The names of a module that are an app."""
    for node in tree.body:
        value = getattr(node, "value", None)
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Call) and name_of(value.func) == "FastAPI":
            yield target.id


def dependencies(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """A list of requirements that has nothing in it."""
    empty = source.listed.strip() == "" and "requirements.txt" in source.files
    if empty and settings.get("app_dependencies", "auto") in ("auto", "requirements.txt"):
        yield "app_dependencies: requirements.txt is empty; write there what the app needs, FastAPI first."


def missing(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """Packages that the app needs, and that nothing which it depends on is known to bring."""
    listed = source.packages
    if listed is None or not listed.extras:
        return
    given = settings.get("app_environment") or {}
    commands = [str(each.get("command", "")) for each in settings.get("app_processes") or []]
    commands += [str(settings.get("app_migrate_command") or "")]
    words = [word for command in commands for word in re.split(r"[\s=]+", command)]
    entries = [str(settings.get("app_entrypoint") or "") or next(iter(apps(source)), ""), *words]
    folders = [path.removeprefix("./").rstrip("/") for path in str(given.get("PYTHONPATH", "")).split(":")]
    roots = ["", "src/", *(f"{path}/" for path in folders if path not in ("", ".", "src"))]
    found = missing_packages(reached(source.modules, roots, entries, source.own), listed, given, commands)
    if found:
        have = {
            each.package: f"; {listed.optional[each.package]} has it"
            for each in found
            if each.package in listed.optional
        }
        named = ", ".join(f"{each.package} ({each.because}{have.get(each.package, '')})" for each in found)
        like = f", with {listed.like} as the others have" if listed.like else ""
        doubt = "" if listed.complete else ", unless another package brings it"
        yield f"app_dependencies: {listed.form} does not name {named}; add it there{like}{doubt}."


def environment(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """What the app reads of its environment, has no value for, and does not get."""
    given = {str(name).upper() for name in settings.get("app_environment") or {}}
    needed = [Needs(path, list(dict.fromkeys(read_by(tree)))) for path, tree in source.modules.items()]
    missing = [Needs(each.path, [name for name in each.names if name.upper() not in given]) for each in needed]
    for each in missing:
        if each.names and ".env" not in source.files:
            names = ", ".join(each.names)
            yield f"app_environment: write {names}, which {each.path} reads and has no default for."


def migrations(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """Migrations that nobody runs."""
    migrates, fixed = settings.get("app_migrate_command"), FIXED_URL.search(source.alembic)
    if migrates and fixed:
        yield f"app_migrate_command: alembic.ini has a database at {fixed[1]}, and env.py takes no other one."
    elif "alembic.ini" in source.files and not (migrates or settings.get("app_before_switch")):
        yield "app_migrate_command: the source has alembic.ini; write alembic upgrade head if it is to migrate."


def workers(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """Workers that another platform runs."""
    if settings.get("app_processes"):
        return
    texts = [text for path, text in source.above.items() if COMPOSE.fullmatch(path.rpartition("/")[2])]
    commands = list(dict.fromkeys(" ".join(found.split()) for text in texts for found in WORKER.findall(text)))
    if commands:
        named = ", ".join(f'{{name: worker{number}, command: "{each}"}}' for number, each in enumerate(commands, 1))
        yield f"app_processes: Docker Compose runs workers; write [{named}] to run them here."


def schedules(_source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """A beat of Celery, which keeps its schedule in a file of the folder where it runs unless another is named."""
    for each in settings.get("app_processes") or []:
        words = str(each.get("command", "")).split()
        if {"celery", "beat"} <= set(words) and not [word for word in words if re.match(r"-s|--schedule\b", word)]:
            file = f"/srv/{settings.get('app_name', '')}/shared/celerybeat-schedule"
            yield f"app_processes: add -s {file} to the command of {each.get('name', 'beat')}, which writes that file."


def front_ends(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """A front end that nobody builds."""
    if settings.get("app_build") or settings.get("app_static"):
        return
    for path, text in source.above.items():
        try:
            scripts = json.loads(text).get("scripts", {}) if path.endswith("package.json") else {}
        except (ValueError, AttributeError):
            continue
        if "build" in scripts:
            folder = str(PurePosixPath(path).parent)
            yield f"app_build: {folder} has a front end that nothing builds; see the page on static files if it is to."
            return


def packages(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """Packages that the image of the app installs."""
    if settings.get("app_packages"):
        return
    told = to_compile(source.packages, ()).lacks if source.packages else []
    for path, text in source.above.items():
        if path.rpartition("/")[2] != "Dockerfile":
            continue
        said = re.sub(r"^\s*#.*\n?", "", text, flags=re.MULTILINE).replace("\\\n", " ")
        installed = [word for found in APT.findall(said) for word in found.split()]
        named = [word for word in installed if re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", word)]
        if named := [word for word in named if word not in {*USUAL, *COMPILER, *told}]:
            yield f"app_packages: {path} installs {', '.join(dict.fromkeys(named))}; write what the app needs of them."


def compiled(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """Packages of Debian without which packages of an index cannot be compiled."""
    found = to_compile(source.packages, settings.get("app_packages") or ()) if source.packages else None
    if found and found.lacks:
        given = [*(settings.get("app_packages") or ()), *found.lacks]
        yield (
            f"app_packages: there is no wheel of {in_words(found.packages)}, so that it has to be compiled; write"
            f" [{', '.join(given)}]."
        )


def wheels(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """Versions that are older than the Python which they would be installed for."""
    found = too_old(source.packages, source.python) if source.packages and source.python else None
    if found and found.pins:
        lacks = [each for each in COMPILER if each not in (settings.get("app_packages") or ())]
        build = f", and {in_words(lacks)} in app_packages" if found.compiled and lacks else ""
        if found.better == found.python and not build:
            return
        yield (
            f"app_python: {in_words(found.pins[:MOST_NAMED])} {'have' if found.pins[1:] else 'has'} no wheel for Python"
            f" {found.python}; write"
            f' "{found.better}"{build}.'
        )


def writes(source: Source, settings: Mapping[str, Any]) -> Iterator[str]:
    """Folders and files of the source that the app makes, where it may not write unless they are shared."""
    found = [
        part for tree in source.modules.values() for name in made_by(tree) for part in beside(name, source.modules)
    ]
    found += named_in(settings.get("app_environment") or {})
    made = {str(PurePosixPath(source.below) / name) for name in found}
    shared = {str(path).strip("/") for path in settings.get("app_shared") or []}
    above = {path for path in made if {str(parent) for parent in PurePosixPath(path).parents} & (made | shared)}
    missing = sorted(made - shared - above)[:MOST_NAMED]
    if missing:
        yield (
            f"app_shared: the app seems to write to {', '.join(missing)} in its source; write [{', '.join(missing)}],"
            " because a release cannot be written to."
        )
