# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a source needs of an index, of Debian and of a Python, as far as it can be seen without any of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import (
    COMPILER,
    NEVER_WHEEL,
    OF_PACKAGE,
    OLDEST,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.source.imports import Reached
from ansible_collections.production.fastapi.plugins.plugin_utils.source.packages import (
    Listed,
    has_module,
    package_of,
    without_wheel,
)

# What these modules have, and the module without which it cannot be used.
USES = {
    "EmailStr": "email_validator",
    "File": "multipart",
    "Form": "multipart",
    "Jinja2Templates": "jinja2",
    "NameEmail": "email_validator",
    "OAuth2PasswordRequestForm": "multipart",
    "OAuth2PasswordRequestFormStrict": "multipart",
    "ORJSONResponse": "orjson",
    "SessionMiddleware": "itsdangerous",
    "UJSONResponse": "ujson",
    "UploadFile": "multipart",
}
OF = ("fastapi", "pydantic", "starlette")
# Ways to keep passwords, for which passlib needs a module.
SCHEMES = {"argon2": "argon2", "bcrypt": "bcrypt"}
# Programs that a package brings, and that commands of processes and migrations run.
PROGRAMS = ("aerich", "alembic", "arq", "celery", "dramatiq", "rq", "taskiq")
# A URL of a database, with the driver that SQLAlchemy is to use.
URL = re.compile(r"(postgres(?:ql)?|mysql|mariadb|sqlite)(?:\+(\w+))?://")
DRIVERS = {
    "mariadb": ("pymysql", "MySQLdb", "asyncmy", "aiomysql", "mariadb"),
    "mysql": ("pymysql", "MySQLdb", "asyncmy", "aiomysql"),
    "postgres": ("psycopg2", "psycopg", "asyncpg", "pg8000", "aiopg"),
    "postgresql": ("psycopg2", "psycopg", "asyncpg", "pg8000", "aiopg"),
}
OF_DRIVER = {"mysqldb": "MySQLdb", "psycopg_async": "psycopg", "pysqlite": ""}


@dataclass(frozen=True)
class Missing:
    """A package that nothing names, and what shows that it is needed."""

    package: str
    because: str


@dataclass(frozen=True)
class Compiled:
    """Packages that have to be compiled, and the Debian packages for that which are not given yet."""

    packages: list[str]
    lacks: list[str]


@dataclass(frozen=True)
class TooOld:
    """Pins without a wheel for a Python, and a Python that they go with."""

    pins: list[str]
    python: str
    better: str
    compiled: bool  # whether some of them have no wheel for that one either


def missing_packages(
    reached: Reached, listed: Listed, environment: Mapping[str, object], commands: Iterable[str]
) -> list[Missing]:
    """The packages that no other is known to bring, each once."""
    needed = [(module, f"{path} imports it") for module, path in reached.foreign.items()]
    needed += [(USES[name], f"{path} uses {name}") for path, tree in reached.modules.items() for name in used(tree)]
    for path, tree in reached.modules.items():
        needed += [(module, f"{path} hashes passwords by it") for module in schemes(tree)]
    programs = [(command.partition(" ")[0], command) for command in commands]
    needed += [(name, f"{command} is to be run") for name, command in programs if name in PROGRAMS]
    brought = listed.brought
    needed += drivers(environment, brought)
    found: dict[str, str] = {}
    for module, because in needed:
        if not has_module(brought, module):
            found.setdefault(package_of(module), because)
    return [Missing(package, because) for package, because in found.items()]


def used(tree: ast.Module) -> list[str]:
    """What a module has from FastAPI, pydantic and Starlette that needs another package, and uses."""
    here: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OF:
            here |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name in USES}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return [name for local, name in here.items() if local in names]


def schemes(tree: ast.Module) -> Iterator[str]:
    """The modules that passlib needs for what a module asks of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CryptContext":
            texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
            yield from (SCHEMES[text] for text in texts if isinstance(text, str) and text in SCHEMES)


def drivers(environment: Mapping[str, object], brought: set[str]) -> Iterator[tuple[str, str]]:
    """The module of the driver that the URL of a database asks for; no value is shown."""
    for name, value in environment.items():
        found = URL.match(str(value))
        if found and found[2]:
            module = OF_DRIVER.get(found[2], found[2])
            yield from [(module, f"{name} asks for {found[2]}")] if module else []
        elif found and (known := DRIVERS.get(found[1])) and not any(has_module(brought, each) for each in known):
            yield known[0], f"{name} is the URL of a database"


def to_compile(listed: Listed, given: Iterable[str]) -> Compiled:
    """The packages without any wheel, and what Debian has for a build of them."""
    there = set(given)
    packages = [name for name in listed.extras if name in NEVER_WHEEL]
    packages += ["psycopg-c"] if "c" in listed.extras.get("psycopg", ()) and "psycopg-c" not in packages else []
    wanted = dict.fromkeys(each for name in packages for each in OF_PACKAGE[name])
    if "gcc" in there:
        there |= set(COMPILER[1:])
    return Compiled(packages, [each for each in wanted if each not in there])


def too_old(listed: Listed, python: int) -> TooOld:
    """The pins that are older than Python 3.`python`."""
    found = without_wheel(listed.pins, python)
    oldest = min(found.values(), default=python)
    pins = [f"{name} {listed.pins[name]}" for name in found]
    return TooOld(pins, f"3.{python}", f"3.{max(oldest, OLDEST)}", oldest < OLDEST)
