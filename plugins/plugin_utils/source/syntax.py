# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Expressions of Python, as the other files here read them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence


def name_of(node: ast.AST) -> str:
    """The last name of an expression such as `os.environ`."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def constants(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """The texts among these expressions."""
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
