# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a piece of Python source assigns; the gunicorn role refuses lines that would undo its promises."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any


def python_assignments(source: str) -> dict[str, Any]:
    """The names that `source` binds at any level of control flow, sorted, and what is wrong with its syntax.

    Names inside functions and classes are local and left out; the functions' own names count.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        return {"names": [], "error": f"line {line}: {getattr(error, 'msg', error)}"}
    return {"names": sorted(_bound(tree)), "error": ""}


def _bound(node: ast.AST) -> set[str]:
    names: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(child.name)
            continue
        if isinstance(child, ast.Lambda):
            continue
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            names.add(child.id)
        if isinstance(child, ast.alias):
            names.add((child.asname or child.name).split(".")[0])
        names |= _bound(child)
    return names


class FilterModule:
    """Registers the filter with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name and function of each filter."""
        return {"python_assignments": python_assignments}
