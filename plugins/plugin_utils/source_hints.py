# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a source on the controller asks for and the settings do not give: hints, told at once before a first run.

The source is read and never run, so what is found may be more or less than the app needs. Nothing is refused by it.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release import forms
from ansible_collections.production.fastapi.plugins.module_utils._release.folder import list_files
from ansible_collections.production.fastapi.plugins.module_utils._release.install import read_pyproject
from ansible_collections.production.fastapi.plugins.module_utils._release.python import Wish, allows
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import COMPILER, ReleaseError, in_words
from ansible_collections.production.fastapi.plugins.plugin_utils.source_imports import reached
from ansible_collections.production.fastapi.plugins.plugin_utils.source_needs import (
    missing_packages,
    to_compile,
    too_old,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.source_packages import Listed
from ansible_collections.production.fastapi.plugins.plugin_utils.source_packages import listed as packages_of

MOST_MODULES = 2000
MOST_BYTES = 1_000_000
MOST_NAMED = 12
# What is not a part of the app that is served.
ASIDE = {"tests", "test", "migrations", "alembic", "scripts", "docs", "examples", "node_modules", "site-packages"}
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
# How a field says which name it has in the environment.
ALIASES = ("validation_alias", "alias", "env")
COMPOSE = re.compile(r"(docker-)?compose[\w.-]*\.ya?ml")
WORKER = re.compile(
    r"\b(celery\s[^\"'\n&|;]*\bworker\b[^\"'\n&|;}]*|(?:arq|dramatiq|rq worker|taskiq worker)\s[\w.:]+)"
)
# A variable that has the folder of the source, as it is often named.
OF_SOURCE = re.compile(r"BASE|ROOT|PROJECT|__file__", re.IGNORECASE)
# The database of Alembic that is the same everywhere, and how its env.py says another one.
FIXED_URL = re.compile(r"^sqlalchemy\.url\s*=\s*(?!driver:)\w[\w+]*://(?:[^@/\s%]*@)?([\w.-]+)", re.MULTILINE)
CHANGES_URL = re.compile(
    r"environ|getenv|set_main_option|settings|config\.[A-Z_]+|url\s*=\s*(?!config\.get_main_option)\w"
)
# A database in a file beside the app, as a URL or as a path.
SQLITE_URL = re.compile(r"sqlite(?:\+\w+)?:///(?:\./)?(?!/)([\w.-]+(?:/[\w.-]+)*)")
SQLITE_FILE = re.compile(r"(?:\./)?((?:[\w-][\w.-]*/)*[\w.-]+\.(?:db|sqlite3?))")
LOGGERS = ("FileHandler", "RotatingFileHandler", "TimedRotatingFileHandler", "WatchedFileHandler")
# A line of requirements.txt that installs the project itself.
INSTALLS = re.compile(r"^\s*(-e\s+)?\.", re.MULTILINE)
APT = re.compile(r"apt(?:-get)?\s+(?:-\S+\s+)*install\s+([^&|;\n]*)")


@dataclass
class Source:
    """The files of a source by their paths below the app's folder, and its modules; `above` are files at its top."""

    files: set[str]
    above: dict[str, str]
    below: str = ""  # where that folder is in the source
    listed: str = ""  # what requirements.txt has
    alembic: str = ""  # what alembic.ini has, where env.py takes the database from it
    modules: dict[str, ast.Module] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)  # names that modules and packages have somewhere in the source
    packages: Listed | None = None  # what it depends on, where that can be read
    python: int = 0  # the Python that it gets, as 12 of 3.12, where that can be told


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


def read(folder: Path, subdirectory: str, include: Sequence[str]) -> Source:
    """The app's folder in a source, and what its top says of images and front ends."""
    listed = list_files(folder, include)
    below = PurePosixPath(subdirectory)
    known = Source({str(path.relative_to(below)) for path in listed if path.is_relative_to(below)}, {}, subdirectory)
    if "requirements.txt" in known.files:
        known.listed = text_of(folder / below / "requirements.txt")
    if "alembic.ini" in known.files:
        environments = [path for path in known.files if path.endswith("/env.py")]
        if not any(CHANGES_URL.search(text_of(folder / below / path)) for path in environments):
            known.alembic = text_of(folder / below / "alembic.ini")
    of_python = [path.with_suffix("") for path in listed if path.suffix == ".py" and "site-packages" not in path.parts]
    known.own = {part for path in of_python for part in path.parts}
    described = [path for path in listed if is_described(path) and not ASIDE & set(path.parts)]
    known.above = {str(path): text_of(folder / path) for path in described}
    modules = [path for path in sorted(known.files) if path.endswith(".py") and not ASIDE & set(path.split("/"))]
    for path in modules[:MOST_MODULES]:
        try:
            known.modules[path] = ast.parse(text_of(folder / below / path))
        except (SyntaxError, ValueError, RecursionError):
            continue
    return known


def depend(known: Source, folder: Path, settings: Mapping[str, Any], python: str) -> None:
    """Read what a source depends on, and which Python it gets; what is wrong with that is refused elsewhere."""
    project = folder / known.below
    chosen = forms.Chosen(settings.get("app_extras") or (), settings.get("app_groups") or ())
    pyproject: Mapping[str, Any] = {}
    with contextlib.suppress(ReleaseError):
        pyproject = read_pyproject(project)
    with contextlib.suppress(ReleaseError):
        wish = Wish.read(str(settings.get("app_python") or ""), folder, project, pyproject)
        version = wish.version if wish.version and not wish.is_range else python
        if re.fullmatch(r"3\.[0-9]+", version) and allows(wish.version if wish.is_range else "", version):
            known.python = int(version.removeprefix("3."))
    with contextlib.suppress(ReleaseError):
        form = forms.detect_form(folder, project, str(settings.get("app_dependencies") or "auto"))
        known.packages = packages_of(form, folder, project, chosen, pyproject)


def is_described(path: PurePosixPath) -> bool:
    """Whether a file says how an app or a front end is built or run."""
    return path.name in ("Dockerfile", "package.json", "pyproject.toml") or COMPOSE.fullmatch(path.name) is not None


def text_of(file: Path) -> str:
    """The text of a file, if it is not too long."""
    return forms.text_of(file) if file.stat().st_size <= MOST_BYTES else ""


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


def read_by(tree: ast.Module) -> Iterator[str]:
    """The names of the environment without which a module cannot be imported, as far as can be seen."""
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    # Which checks defaults too, so that a text is none that has None.
    checked = any(isinstance(node, ast.ImportFrom) and node.module == "pydantic_settings" for node in tree.body)
    for node in classes.values():
        if any(name_of(base).endswith("Settings") for base in node.bases):
            yield from (f"{prefix_of(node)}{name}" for name in required(node, classes, checked=checked))
    of_config = any(
        isinstance(node, ast.ImportFrom) and node.module in ("decouple", "starlette.config") for node in tree.body
    )
    for run in at_import(tree):
        if isinstance(run, ast.Subscript) and isinstance(run.ctx, ast.Load) and name_of(run.value) == "environ":
            yield from constants([run.slice])
        if of_config and isinstance(run, ast.Call) and name_of(run.func) == "config" and len(run.args) == 1:
            yield from [] if "default" in [keyword.arg for keyword in run.keywords] else constants(run.args)


def required(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], *, checked: bool) -> Iterator[str]:
    """The fields of a class of settings that have to be given; what is settings again has its own."""
    stored = [each for each in ast.walk(node) if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store)]
    made = {"model_config", *constants([each.slice for each in stored])}  # by a validator, from other fields
    for each in node.body:
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        kind, value, name = ast.unparse(each.annotation), each.value, each.target.id
        if kind.startswith("ClassVar") or kind in classes or name.startswith("_") or name in made:
            continue
        options = {}
        if isinstance(value, ast.Call) and name_of(value.func) == "Field":
            options = {str(keyword.arg): keyword.value for keyword in value.keywords}
            value = options.get("default", value.args[0] if value.args else None)
        none = checked and kind in ("str", "int", "float", "bool") and ast.unparse(value or node) == "None"
        if (value is None or is_ellipsis(value) or none) and "default_factory" not in options:
            yield next(constants([options[key] for key in ALIASES if key in options]), name)


def prefix_of(node: ast.ClassDef) -> str:
    """What the names of a class of settings begin with in the environment."""
    named = {name_of(target): value for target, value in assigned(node)}
    for each in ast.walk(node):
        if isinstance(each, ast.keyword) and each.arg == "env_prefix":
            return next(constants([named.get(name_of(each.value), each.value)]), "")
        if isinstance(each, ast.Assign) and name_of(each.targets[0]) == "env_prefix":
            return next(constants([each.value]), "")
    return ""


def assigned(node: ast.ClassDef) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The names of a class that have a value, and the value."""
    for each in node.body:
        if isinstance(each, ast.Assign):
            yield each.targets[0], each.value
        elif isinstance(each, ast.AnnAssign) and each.value:
            yield each.target, each.value


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from at_import(node)


def name_of(node: ast.AST) -> str:
    """The last name of an expression such as `os.environ`."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def is_ellipsis(node: ast.AST) -> bool:
    """Whether an expression is `...`, by which a field has to be given."""
    return isinstance(node, ast.Constant) and node.value is ...


def constants(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """The texts among these expressions."""
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


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
    found = [part for tree in source.modules.values() for name in made_by(tree) for part in beside(name, source)]
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


def beside(path: str, source: Source) -> Iterator[str]:
    """The first part of a path that has no code in it, so that it can be shared.

    Of a database it is the file alone, and of a folder that has to be there (with a slash at its end) all of it.
    """
    parts = path.rstrip("/").split("/") if not path.endswith(".py") else []
    shortest = len(parts) if SQLITE_FILE.fullmatch(path) or path.endswith("/") else 1
    starts = ("/".join(parts[:count]) for count in range(shortest, len(parts) + 1))
    yield from [start for start in starts if not any(each.startswith(f"{start}/") for each in source.modules)][:1]


def named_in(environment: Mapping[str, Any]) -> Iterator[str]:
    """The SQLite files beside the app that its environment names."""
    for value in map(str, environment.values()):
        if found := SQLITE_URL.fullmatch(value) or SQLITE_FILE.fullmatch(value):
            yield found[1]


def made_by(tree: ast.Module) -> Iterator[str]:
    """The relative paths that a module makes: SQLite files, logs, and folders by name."""
    texts = list(constants(list(ast.walk(tree))))
    yield from (found[1] for text in texts if (found := SQLITE_URL.fullmatch(text)))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called, inner = name_of(node.func), getattr(node.func, "value", None)
        named = [keyword.value for keyword in node.keywords if keyword.arg == "filename"]
        # A file of loguru.
        if called in ("makedirs", *LOGGERS) or (called == "add" and name_of(inner or node) == "logger"):
            yield from relative(constants([*node.args[:1], *named]))
        if called == "basicConfig":
            yield from relative(constants(named))
        if called == "connect" and name_of(inner or node) in ("sqlite3", "aiosqlite"):
            yield from (found[1] for text in constants(node.args[:1]) if (found := SQLITE_FILE.fullmatch(text)))
        modes = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        if called == "open" and any(set(mode) & set("wax+") for mode in constants(modes)):
            yield from relative(constants(node.args[:1]))
            yield from relative(folders_written(node.args[:1], tree))
        if called == "mkdir" and isinstance(inner, ast.Call) and name_of(inner.func) == "Path":
            yield from relative(constants(inner.args[:1]))
    if any(isinstance(node, ast.Attribute) and node.attr in ("mkdir", "makedirs") for node in ast.walk(tree)):
        joined = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)]
        yield from relative(constants([node.right for node in joined if OF_SOURCE.search(ast.unparse(node.left))]))


def folders_written(nodes: Sequence[ast.AST], tree: ast.Module) -> Iterator[str]:
    """The folders of paths whose last part is made up, such as f"uploads/{name}", with a slash at their end."""
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    assigns = [each for each in ast.walk(tree) if isinstance(each, ast.Assign) and name_of(each.targets[0]) in names]
    for node in [*nodes, *(each.value for each in assigns)]:
        start = next(constants(node.values[:1]), "") if isinstance(node, ast.JoinedStr) else ""
        folder, slash, _name = start.rpartition("/")
        yield from [f"{folder}{slash}"] if folder else []


def relative(texts: Iterator[str]) -> Iterator[str]:
    """The paths that lie in the source."""
    for text in texts:
        path = text.removeprefix("./")
        if re.fullmatch(r"([\w-]+/)*([\w-][\w.-]*)?", path) and not text.startswith(("/", "..")):
            yield path
