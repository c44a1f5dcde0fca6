# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folders and files of a source that its modules make."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.source.syntax import constants, name_of

# A variable that has the folder of the source, as it is often named.
OF_SOURCE = re.compile(r"BASE|ROOT|PROJECT|__file__", re.IGNORECASE)
# A database in a file beside the app, as a URL or as a path.
SQLITE_URL = re.compile(r"sqlite(?:\+\w+)?:///(?:\./)?(?!/)([\w.-]+(?:/[\w.-]+)*)")
SQLITE_FILE = re.compile(r"(?:\./)?((?:[\w-][\w.-]*/)*[\w.-]+\.(?:db|sqlite3?))")
LOGGERS = ("FileHandler", "RotatingFileHandler", "TimedRotatingFileHandler", "WatchedFileHandler")


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


def named_in(environment: Mapping[str, Any]) -> Iterator[str]:
    """The SQLite files beside the app that its environment names."""
    for value in map(str, environment.values()):
        if found := SQLITE_URL.fullmatch(value) or SQLITE_FILE.fullmatch(value):
            yield found[1]


def beside(path: str, modules: Iterable[str]) -> Iterator[str]:
    """The first part of a path that has no code in it, so that it can be shared.

    Of a database it is the file alone, and of a folder that has to be there (with a slash at its end) all of it.
    """
    parts = path.rstrip("/").split("/") if not path.endswith(".py") else []
    shortest = len(parts) if SQLITE_FILE.fullmatch(path) or path.endswith("/") else 1
    starts = ("/".join(parts[:count]) for count in range(shortest, len(parts) + 1))
    yield from [start for start in starts if not any(each.startswith(f"{start}/") for each in modules)][:1]


def relative(texts: Iterator[str]) -> Iterator[str]:
    """The paths that lie in the source."""
    for text in texts:
        path = text.removeprefix("./")
        if re.fullmatch(r"([\w-]+/)*([\w-][\w.-]*)?", path) and not text.startswith(("/", "..")):
            yield path
