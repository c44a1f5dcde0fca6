"""Which places of the package are changed: a sample of those that cosmic-ray finds, and some that it cannot."""

import ast
import difflib
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import cosmic_ray.plugins
import parso
from by_hand import BY_HAND, EQUIVALENT
from cosmic_ray.ast import ast_nodes
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code

# Another seed chooses other places.
SEED = "upkeeper 1"
# How many places of a module; a module that has fewer is tried at all of them.
SAMPLE = 12

# Identity instead of equality, and equality instead of identity: the same for None, members of an enum, small numbers.
SAME = ("Eq_Is", "Is_Eq", "NotEq_IsNot", "IsNot_NotEq")


class Mutant(NamedTuple):
    """A module with one change: where it is, the line before and after it, and the whole text after it."""

    module: str
    where: str
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"{self.module}, {self.where}: {self.before}  ->  {self.after}"


class _Change(NamedTuple):
    where: str
    operator: str
    occurrence: int


def choose(module: str, text: str) -> list[Mutant]:
    """The mutants of a module: those written by hand, and one for each place of the sample."""
    found = [_written(module, text, *change) for name, *change in BY_HAND if name == module]
    places = _places(text)
    for place in sorted(places, key=_order)[:SAMPLE]:
        # Some changes make no Python of it, and so no mutant.
        changes = sorted(places[place], key=_order)
        found += next(([mutant] for change in changes if (mutant := _made(module, text, change))), [])
    equivalent = {each[:3] for each in EQUIVALENT}
    return [each for each in found if (each.module, each.before, each.after) not in equivalent]


def _order(what: tuple[object, ...]) -> str:
    """Chance that stays the same for what stays the same, whatever else of the module changes."""
    return hashlib.sha256(f"{SEED} {what}".encode()).hexdigest()


def _places(text: str) -> dict[tuple[str, str, int, int], list[_Change]]:
    """What can be changed, by place: its function, its line, its column, and how often there was such a line before."""
    types = _types(text)
    lines = text.splitlines()
    tree = parso.parse(text)
    places: dict[tuple[str, str, int, int], list[_Change]] = {}
    for name in cosmic_ray.plugins.operator_names():
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments() or name.endswith(SAME):
            continue
        positions = ((node, start) for node in ast_nodes(tree) for start, _ in operator().mutation_positions(node))
        for occurrence, (node, (line, column)) in enumerate(positions):
            if any(first <= (line, column) < last for first, last in types) or node.parent.type == "parameters":
                continue
            same = lines[: line - 1].count(lines[line - 1])
            where = ASTQuery(node).get_definition_name() or "module"
            change = _Change(where, name, occurrence)
            places.setdefault((where, lines[line - 1], column, same), []).append(change)
    return places


def _types(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations are: they are mypy's to judge, and changed ones, which fail at import, flatter the figure."""
    found = []
    for node in ast.walk(ast.parse(text)):
        for each in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(each, ast.expr):
                found.append(((each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)))
    return found


def _made(module: str, text: str, change: _Change) -> Mutant | None:
    operator = cosmic_ray.plugins.get_operator(change.operator)()
    changed = mutate_code(text, operator, change.occurrence)
    if not changed or not _compiles(changed):
        return None
    return Mutant(module, change.where, *_lines(text, changed), changed)


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _lines(text: str, changed: str) -> tuple[str, str]:
    """The first line that differs, before and after; a decorator that is gone leaves nothing."""
    differences = list(difflib.ndiff(text.splitlines(), changed.splitlines()))
    before = next(line for line in differences if line.startswith("- ") and line[2:].strip())
    after = next((line for line in differences if line.startswith("+ ")), "")
    return before[2:].strip(), after[2:].strip()


def _written(module: str, text: str, code: str, instead: str) -> Mutant:
    assert text.count(code) == 1, f"{module} has no single {code!r}: change BY_HAND"
    return Mutant(module, "by hand", code, instead, text.replace(code, instead))


def stale(texts: dict[str, str]) -> Iterator[str]:
    """Name the equivalent mutants whose line is there no more."""
    for module, before, *_ in EQUIVALENT:
        if before not in (line.strip() for line in texts[module].splitlines()):
            yield f"{module} has no line {before!r}: change EQUIVALENT"
