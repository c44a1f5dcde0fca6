"""Decisions are Python and stand once; YAML is a table of contents. The bounds are figures of today that only fall."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGE = "ansible_collections.production.fastapi.plugins."
YAML = sorted(path for folder in ("roles", "playbooks") for path in (ROOT / folder).glob("**/*.yml"))
CODE = [path for path in YAML if "meta" not in path.parts and "files" not in path.parts]
STEPS = ROOT / "playbooks" / "steps"
TEMPLATES = sorted((ROOT / "roles").glob("**/*.j2"))
PYTHON = sorted((ROOT / "plugins").glob("**/*.py"))
VALUES = ROOT / "plugins" / "plugin_utils" / "checks" / "values.py"

LONGEST = 120
BOUNDS = {
    "long expressions per 1,000 lines": 5,
    "statements of Jinja": 0,
    "sentences": 0,
    "files of a deploy": 12,
    "lines of templates": 1172,
    "filter files": 14,
    "filters": 12,
    "patterns of an address": 2,
    "patterns in checks": 0,
    "names of the state folder": 1,
}

EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
STATEMENT = re.compile(r"\{%-? *(set|for|if)\b")
# What a person reads when something is wrong.
SPOKEN = ("msg", "fail_msg", "success_msg", "hint")
# Digits with dots between them, or hexadecimal digits with colons.
ADDRESS = re.compile(r"\[0-9\.\]|\[\\d\.\]|\\d\+?\\\.\\d|\[0-9\]\{1,3\}|\[0-9a-f:|\[\\\[\\\]\]")


def strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text of a YAML document with the key that it stands under."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)
    elif isinstance(value, str):
        yield key, value


def texts(path: Path) -> list[tuple[str, str]]:
    return list(strings(yaml.safe_load(path.read_text(encoding="utf-8"))))


def is_sentence(text: str) -> bool:
    """Whether there are words beside the expressions."""
    return len(re.findall(r"[A-Za-z]{2,}", EXPRESSION.sub(" ", text))) > 2


def spoken() -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {text}"
        for path in CODE
        for key, text in texts(path)
        if key in SPOKEN and is_sentence(text)
    ]


def long_expressions() -> list[str]:
    found = [
        (path, expression) for path in CODE for _key, text in texts(path) for expression in EXPRESSION.findall(text)
    ]
    return [f"{path.relative_to(ROOT)}: {each}" for path, each in found if len(each) > LONGEST]


def lines(paths: list[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def filters() -> set[str]:
    """The names of our filters that YAML and templates call."""
    files = [*CODE, *(ROOT / "roles").glob("*/templates/**/*.j2")]
    call = re.compile(r"\| *production\.fastapi\.(\w+)|'production\.fastapi\.(\w+)'")
    return {"".join(names) for file in files for names in call.findall(file.read_text(encoding="utf-8"))}


def is_prose(node: ast.Assign | ast.Expr) -> bool:
    """Whether a statement is a docstring, or documentation of a plugin."""
    named = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
    return isinstance(node, ast.Expr) or getattr(node.targets[0], "id", "") in named


def assigned(path: Path) -> str:
    """The texts of a module, without its documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.Expr)) and is_prose(node)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(f'"{node.value}"' for node in found if id(node) not in prose)


def measured() -> dict[str, float]:
    """The figures of today."""
    checks = [path for path in PYTHON if "checks" in path.parts and path != VALUES]
    patterns = [line for path in checks for line in path.read_text().splitlines() if re.search(r"\bre\.\w+\(", line)]
    everywhere = [path for path in [*PYTHON, *CODE] if path != VALUES]
    addresses = [line for path in everywhere for line in path.read_text().splitlines() if ADDRESS.search(line)]
    state = [path for path in PYTHON if re.search(r"[\"/]var/lib/production\.fastapi", assigned(path))]
    return {
        "long expressions per 1,000 lines": round(1000 * len(long_expressions()) / lines(CODE), 1),
        "statements of Jinja": sum(len(STATEMENT.findall(path.read_text())) for path in CODE),
        "sentences": len(spoken()),
        "files of a deploy": len([*(STEPS / "deploy").glob("*.yml"), STEPS / "app.yml", STEPS / "guarded.yml"]),
        "lines of templates": lines(TEMPLATES),
        "filter files": len(list((ROOT / "plugins" / "filter").iterdir()))
        - (ROOT / "plugins/filter/__pycache__").exists(),
        "filters": len(filters()),
        "patterns of an address": len(addresses),
        "patterns in checks": len(patterns),
        "names of the state folder": len(state),
    }


@pytest.mark.parametrize("what", BOUNDS)
def test_the_house_gets_no_more_complicated(what: str) -> None:
    figure = measured()[what]
    assert figure <= BOUNDS[what], f"{what}: {figure}; decide it in Python, where it is already"


def test_what_depends_on_nothing_is_a_file() -> None:
    """A template has an expression besides who wrote it."""
    texts_of_templates = {path: re.sub(r"\{\{ *ansible_managed.*?\}\}", "", path.read_text()) for path in TEMPLATES}
    assert [path.name for path, text in texts_of_templates.items() if not re.search(r"\{\{|\{%", text)] == []


def test_a_sandbox_is_written_in_python_alone() -> None:
    """By `_app/sandbox` and `unit_sandbox`; what Debian's unit of Redis has is taken back where it has no network."""
    setting = re.compile(r"(?m)^(?:Protect|Private|Restrict|SystemCall|Capability|NoNew|Lock|Keyring|MemoryDeny)\w+=.*")
    found = {path.name: setting.findall(path.read_text()) for path in TEMPLATES}
    assert {name: lines for name, lines in found.items() if lines} == {
        "redis-server.service.d.conf.j2": ["RestrictAddressFamilies=", "RestrictAddressFamilies=AF_UNIX"]
    }


def imports(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, below `plugins`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.rstrip(".")):
            base = str(node.module)[len(PACKAGE) :]
            for alias in node.names:
                inner = ROOT / "plugins" / f"{base}.{alias.name}".strip(".").replace(".", "/")
                yield f"{base}.{alias.name}".strip(".") if inner.with_suffix(".py").exists() else base


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "plugins").with_suffix("").parts)


# What each floor stands on.
FLOORS = {
    "module_utils": {"module_utils"},
    "plugin_utils": {"module_utils", "plugin_utils"},
    "modules": {"module_utils"},
    "filter": {"module_utils", "plugin_utils"},
    "action": {"module_utils", "plugin_utils"},
}


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_stands_on_a_higher_one(floor: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in PYTHON
        if path.relative_to(ROOT / "plugins").parts[0] == floor
        for name in imports(path)
        if name.split(".")[0] not in FLOORS[floor]
    ]
    assert wrong == []


# The packages of module_utils, each of which stands on the ones before it alone.
PACKAGES = ["_host", "_config_tree", "_nginx", "_app", "_release", "_deploy", "_server"]


def test_no_package_of_module_utils_stands_on_a_later_one() -> None:
    folder = ROOT / "plugins" / "module_utils"
    packages = {path.parent.name for path in folder.rglob("*.py")}
    assert packages == set(PACKAGES)
    wrong = [
        f"{path.relative_to(folder)} imports {name}"
        for path in folder.rglob("*.py")
        for name in imports(path)
        if PACKAGES.index(name.split(".")[1]) > PACKAGES.index(path.parent.name)
    ]
    assert wrong == []


def test_no_two_modules_need_each_other() -> None:
    graph = {module_of(path): set(imports(path)) for path in PYTHON}

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        return any(
            each == goal or (each not in seen and reaches(each, goal, seen | {each})) for each in graph.get(start, ())
        )

    assert [name for name in graph if reaches(name, name, {name})] == []


def test_what_modules_share_is_documented_once() -> None:
    """A fragment of documentation is that of two modules or more."""
    texts_of_modules = [path.read_text() for path in (ROOT / "plugins" / "modules").glob("*.py")]
    fragments = [path.stem for path in (ROOT / "plugins" / "doc_fragments").glob("*.py")]
    users = {name: len([text for text in texts_of_modules if f"fastapi.{name}]" in text]) for name in fragments}
    assert users
    assert [name for name, count in users.items() if count < 2] == []


def test_no_role_refuses_a_value_in_yaml() -> None:
    """All that is wrong comes from `preflight`; a task that fails of itself speaks of what has happened on a host."""
    found = [path for path in (ROOT / "roles").glob("*/tasks/preflight.yml") if "builtin.fail" in path.read_text()]
    variables = [path for path in (ROOT / "roles").glob("*/vars/main.yml") if "_problems" in path.read_text()]
    assert found + variables == []
