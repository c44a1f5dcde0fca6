# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules of a source read of the environment, and have no value for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from ansible_collections.production.fastapi.plugins.plugin_utils.source.syntax import constants, name_of

# How a field says which name it has in the environment.
ALIASES = ("validation_alias", "alias", "env")


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


def is_ellipsis(node: ast.AST) -> bool:
    """Whether an expression is `...`, by which a field has to be given."""
    return isinstance(node, ast.Constant) and node.value is ...
