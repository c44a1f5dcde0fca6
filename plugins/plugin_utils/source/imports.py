# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which modules of a source are imported when an app starts, and what they import from elsewhere.

Only what is imported in any case counts: nothing below an `if`, in a function, or in a `try` that does without it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import REMOVED

# Modules of Python, in the version of this machine and in those of before.
STANDARD = {*sys.stdlib_module_names, *REMOVED}
# What a `try` catches that does without a module.
CAUGHT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


@dataclass(frozen=True)
class Reached:
    """The modules of a source that an app imports, by their paths."""

    modules: Mapping[str, ast.Module]
    foreign: Mapping[str, str]  # modules of elsewhere by their first name, and the path of who imports them


def reached(modules: Mapping[str, ast.Module], roots: Sequence[str], entries: Iterable[str], own: set[str]) -> Reached:
    """What is imported from these entry points on, such as `shop.main:create_app`.

    `roots` are the folders in which Python looks, empty or with a slash at the end; `own` are names that the source
    has somewhere, so that no package need have them.
    """
    found: dict[str, ast.Module] = {}
    foreign: dict[str, str] = {}
    ahead = [each.partition(":")[::2] for each in entries]
    while ahead:
        name, called = ahead.pop()
        for path in files_of(name, modules, roots):
            if path in found and not called:
                continue
            found[path] = modules[path]
            for each in names_imported(modules[path], path, roots, called.removesuffix("()")):
                first = each.partition(".")[0]
                if is_own(first, modules, roots):
                    ahead.append((each, ""))
                elif first not in STANDARD and first not in own:
                    foreign.setdefault(first, path)
    return Reached(found, foreign)


def files_of(name: str, modules: Mapping[str, ast.Module], roots: Sequence[str]) -> Iterator[str]:
    """The files that run when a module is imported: its own, and those of the packages around it."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        candidates = (f"{root}{path}{end}" for root in roots for end in ("/__init__.py", ".py"))
        yield from [each for each in candidates if each in modules][:1]


def is_own(first: str, modules: Mapping[str, ast.Module], roots: Sequence[str]) -> bool:
    """Whether a module is one of the source, in a folder in which Python looks."""
    begins = tuple(f"{root}{first}{end}" for root in roots for end in (".py", "/"))
    return any(path.startswith(begins) for path in modules)


def names_imported(tree: ast.Module, path: str, roots: Sequence[str], called: str) -> Iterator[str]:
    """The modules that a file imports, by their whole names; of `from x import y` also what y may be."""
    root = max((root for root in roots if path.startswith(root)), key=len, default="")
    package = path.removeprefix(root).split("/")[:-1]
    for node in run_at_start(tree.body, called):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        start = ".".join([*base, *([node.module] if node.module else [])])
        yield from ([start] if start else [])
        yield from (f"{start}.{alias.name}".strip(".") for alias in node.names)


def run_at_start(body: Sequence[ast.stmt], called: str = "") -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module that run in any case, and those of the function that is called then."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.ClassDef | ast.With | ast.AsyncWith):
            yield from run_at_start(node.body)
        elif isinstance(node, ast.Try | ast.TryStar) and not catches(node):
            yield from run_at_start([*node.body, *node.orelse, *node.finalbody])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == called:
            yield from run_at_start(node.body)


def catches(node: ast.Try | ast.TryStar) -> bool:
    """Whether a `try` does without a module that is not there."""
    kinds = [each for handler in node.handlers for each in ast.walk(handler.type or ast.Name("Exception"))]
    return any(isinstance(each, ast.Name) and each.id in CAUGHT for each in kinds)
