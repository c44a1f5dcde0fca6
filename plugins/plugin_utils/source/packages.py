# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which packages a source asks for, and which modules they bring, as far as that is known without an index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.forms import (
    LOCKED_FORMS,
    Chosen,
    is_list,
    locked_packages,
    pinned,
    pins_all,
    requirements,
    text_of,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import in_range, normalise

# Modules whose package has another name; the first is the one to add.
PACKAGES = {
    "Crypto": ("pycryptodome",),
    "Cryptodome": ("pycryptodomex",),
    "MySQLdb": ("mysqlclient",),
    "OpenSSL": ("pyopenssl",),
    "PIL": ("pillow",),
    "argon2": ("argon2-cffi",),
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "bson": ("pymongo",),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "dateutil": ("python-dateutil",),
    "decouple": ("python-decouple",),
    "dns": ("dnspython",),
    "docx": ("python-docx",),
    "dotenv": ("python-dotenv",),
    "fastapi_cache": ("fastapi-cache2",),
    "fitz": ("pymupdf",),
    "git": ("gitpython",),
    "github": ("pygithub",),
    "google": ("google", "protobuf", "grpcio"),
    "graphql": ("graphql-core",),
    "gridfs": ("pymongo",),
    "grpc": ("grpcio",),
    "jose": ("python-jose",),
    "jwt": ("pyjwt",),
    "ldap": ("python-ldap",),
    "magic": ("python-magic",),
    "markdown_it": ("markdown-it-py",),
    "mpl_toolkits": ("matplotlib",),
    "multipart": ("python-multipart", "multipart"),
    "nacl": ("pynacl",),
    "pkg_resources": ("setuptools",),
    "playhouse": ("peewee",),
    "pptx": ("python-pptx",),
    "psycopg2": ("psycopg2-binary", "psycopg2"),
    "pythonjsonlogger": ("python-json-logger",),
    "ruamel": ("ruamel-yaml",),
    "serial": ("pyserial",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "slugify": ("python-slugify",),
    "socketio": ("python-socketio",),
    "speech_recognition": ("speechrecognition",),
    "telegram": ("python-telegram-bot",),
    "tortoise": ("tortoise-orm",),
    "usb": ("pyusb",),
    "websocket": ("websocket-client",),
    "yaml": ("pyyaml",),
    "zmq": ("pyzmq",),
}
# What these packages bring, with an extra or without. Only what all of their versions in use bring is here.
BRINGS = {
    "aiobotocore": ("aiohttp", "botocore"),
    "aioboto3": ("aiobotocore", "boto3"),
    "aiogram": ("aiohttp", "pydantic"),
    "aiohttp": ("attrs", "multidict", "yarl"),
    "alembic": ("mako", "sqlalchemy", "typing-extensions"),
    "apscheduler": ("tzlocal",),
    "arq": ("click", "redis"),
    "authlib": ("cryptography",),
    "beanie": ("click", "pydantic", "pymongo"),
    "boto3": ("botocore",),
    "botocore": ("jmespath", "python-dateutil", "urllib3"),
    "celery": ("billiard", "click", "kombu", "python-dateutil", "vine"),
    "celery[redis]": ("redis",),
    "cryptography": ("cffi",),
    "databases": ("sqlalchemy",),
    "databases[aiosqlite]": ("aiosqlite",),
    "databases[asyncpg]": ("asyncpg",),
    "databases[postgresql]": ("asyncpg",),
    "email-validator": ("dnspython", "idna"),
    "fastapi": ("pydantic", "starlette", "typing-extensions"),
    "fastapi[all]": ("fastapi[standard]", "itsdangerous", "orjson", "pydantic-settings", "pyyaml", "ujson"),
    "fastapi[standard]": ("email-validator", "httpx", "jinja2", "python-multipart", "uvicorn[standard]"),
    "fastapi-cache2[redis]": ("redis",),
    "fastapi-limiter": ("redis",),
    "fastapi-mail": ("aiosmtplib", "email-validator", "jinja2", "pydantic-settings"),
    "fastapi-sqlalchemy": ("sqlalchemy", "starlette"),
    "fastapi-users": ("email-validator", "pyjwt", "python-multipart"),
    "fastapi-users-db-sqlalchemy": ("fastapi-users", "sqlalchemy"),
    "httpx": ("anyio", "certifi", "httpcore", "idna"),
    "jinja2": ("markupsafe",),
    "kombu": ("amqp", "vine"),
    "matplotlib": ("numpy", "pillow", "python-dateutil"),
    "motor": ("pymongo",),
    "odmantic": ("motor", "pydantic"),
    "pandas": ("numpy", "python-dateutil"),
    "passlib[argon2]": ("argon2-cffi",),
    "passlib[bcrypt]": ("bcrypt",),
    "pwdlib[argon2]": ("argon2-cffi",),
    "pwdlib[bcrypt]": ("bcrypt",),
    "psycopg[binary]": ("psycopg-binary",),
    "psycopg[c]": ("psycopg-c",),
    "psycopg[pool]": ("psycopg-pool",),
    "pydantic": ("typing-extensions",),
    "pydantic[email]": ("email-validator",),
    "pydantic-settings": ("pydantic", "python-dotenv"),
    "pyjwt[crypto]": ("cryptography",),
    "pymongo": ("dnspython",),
    "pyopenssl": ("cryptography",),
    "python-dateutil": ("six",),
    "python-jose": ("ecdsa", "pyasn1", "rsa"),
    "python-jose[cryptography]": ("cryptography",),
    "python-telegram-bot": ("httpx",),
    "redis[hiredis]": ("hiredis",),
    "requests": ("certifi", "charset-normalizer", "idna", "urllib3"),
    "rq": ("click", "redis"),
    "rq-scheduler": ("rq",),
    "scikit-learn": ("numpy", "scipy"),
    "scipy": ("numpy",),
    "seaborn": ("matplotlib", "pandas"),
    "sqladmin": ("jinja2", "python-multipart", "sqlalchemy", "wtforms"),
    "sqlalchemy": ("greenlet", "typing-extensions"),
    "sqlmodel": ("pydantic", "sqlalchemy"),
    "starlette": ("anyio",),
    "starlette-admin": ("jinja2", "python-multipart"),
    "strawberry-graphql": ("graphql-core", "python-dateutil", "typing-extensions"),
    "taskiq-redis": ("redis", "taskiq"),
    "tortoise-orm": ("aiosqlite", "pypika-tortoise"),
    "uvicorn": ("click", "h11"),
    "uvicorn[standard]": ("httptools", "python-dotenv", "pyyaml", "uvloop", "watchfiles", "websockets"),
}
# What every virtualenv has, because it serves the app.
SERVING = ("gunicorn", "packaging", "uvicorn", "uvicorn-worker", "uvloop", "httptools", "websockets")
# The first version of packages that has a wheel for Python 3.10, 3.11, 3.12, 3.13 and 3.14, on amd64.
WHEELS = {
    "asyncpg": ("0.24.0", "0.27.0", "0.29.0", "0.30.0", "0.31.0"),
    "cffi": ("1.15.0", "1.15.1", "1.16.0", "1.17.0", "2.0.0"),
    "greenlet": ("1.1.0", "1.1.3", "3.0.0", "3.1.0", "3.2.3"),
    "grpcio": ("1.41.0", "1.49.1", "1.59.0", "1.66.2", "1.75.1"),
    "hiredis": ("2.1.0", "2.1.0", "2.3.2", "3.1.0", "3.3.0"),
    "lxml": ("4.6.3", "4.9.1", "4.9.3", "5.3.0", "6.0.1"),
    "numpy": ("1.21.2", "1.23.2", "1.26.0", "2.1.0", "2.3.2"),
    "orjson": ("3.4.7", "3.7.7", "3.9.3", "3.10.7", "3.11.1"),
    "pandas": ("1.3.3", "1.5.0", "2.1.1", "2.2.3", "2.3.3"),
    "pillow": ("8.3.2", "9.2.0", "10.0.0", "10.4.0", "11.3.0"),
    "psycopg-binary": ("3.0", "3.1.4", "3.1.12", "3.2.2", "3.2.10"),
    "psycopg2-binary": ("2.9.1", "2.9.5", "2.9.9", "2.9.10", "2.9.11"),
    "pydantic-core": ("2.0.0", "2.0.0", "2.1.2", "2.20.0", "2.35.0"),
    "regex": ("2021.8.21", "2022.9.11", "2023.10.3", "2024.9.11", "2025.7.29"),
    "scipy": ("1.7.2", "1.9.2", "1.11.2", "1.14.1", "1.16.1"),
    "ujson": ("4.2.0", "5.5.0", "5.8.0", "5.10.0", "5.11.0"),
}
# Versions of pydantic itself, each of which pins one of pydantic-core; those before 2 need none.
PYDANTIC = ("2.0", "2.0", "2.1.0", "2.8.0", "2.12.0")
FIRST = 10  # of the columns above


@dataclass(frozen=True)
class Listed:
    """The packages that a source names, each with its extras."""

    form: str
    extras: Mapping[str, set[str]] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False  # whether it has all packages, and not only those that the app uses itself
    like: str = ""  # how a line has to look that is added
    optional: Mapping[str, str] = field(default_factory=dict)  # what an extra or a group has, and the variable for it

    @property
    def brought(self) -> set[str]:
        """All packages that these are known to bring, and themselves."""
        found: set[str] = set()
        ahead = [*SERVING, *(name_with for name in self.extras for name_with in self._with_extras(name))]
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += [*BRINGS.get(name, ()), name.partition("[")[0]]
        return {name for name in found if "[" not in name}

    def _with_extras(self, name: str) -> list[str]:
        return [name, *(f"{name}[{extra}]" for extra in self.extras[name])]


def has_module(brought: set[str], module: str) -> bool:
    """Whether one of these packages may have a module; what is only for types or tests has none."""
    known = PACKAGES.get(module, ())
    if any(name == each or name.startswith(f"{each}-") for name in brought for each in known):
        return True
    wanted, plain = set(normalise(module).split("-")), normalise(module).replace("-", "")
    if normalise(module) in brought:
        return True
    for name in brought:
        parts = name.split("-")
        if parts[0] in ("types", "pytest") or parts[-1] == "stubs":
            continue
        if wanted <= set(parts) or name.replace("-", "") in (plain, f"py{plain}", f"{plain}py"):
            return True
    return False


def package_of(module: str) -> str:
    """The package that is to be added for a module."""
    return PACKAGES.get(module, (module.replace("_", "-"),))[0]


def listed(form: str, root: Path, project: Path, chosen: Chosen, pyproject: Mapping[str, Any]) -> Listed | None:
    """The packages that a form names; nothing where it does not say them all."""
    described = pyproject.get("project", {})
    extras = {normalise(name): lines for name, lines in described.get("optional-dependencies", {}).items()}
    groups = {normalise(name): lines for name, lines in pyproject.get("dependency-groups", {}).items()}
    choices = [("app_extras", name, lines) for name, lines in extras.items()]
    choices += [("app_groups", name, lines) for name, lines in groups.items()]
    optional = {package: f"{variable}: [{name}]" for variable, name, lines in choices for package in named(lines)}
    pins = pinned(form, root, project, chosen)
    if form in LOCKED_FORMS:
        names = [normalise(str(each.get("name", ""))) for each in locked_packages(form, root, project, chosen)]
        found: dict[str, set[str]] = {name: set() for name in names}
        return Listed(form, found, pins, complete=True, optional=optional) if found else None
    if is_list(form):
        text = text_of(project / form)
        found = named(all_lines(project / form, root))
        complete = pins_all(text) and {"fastapi", "starlette", "pydantic"} <= set(found)
        like = "a version and a hash" if "--hash=" in text else "a version" if pins_all(text) else ""
        return Listed(form, found, pins, complete, like)
    if "dependencies" in described.get("dynamic", []) or not described:
        return None
    lines = [*described.get("dependencies", [])]
    lines += [line for extra in chosen.extras for line in extras.get(normalise(extra), [])]
    lines += [line for group in chosen.groups for line in groups.get(normalise(group), [])]
    return Listed(form, named(lines), optional=optional)


def all_lines(file: Path, root: Path, depth: int = 0) -> Iterator[str]:
    """The lines of a requirements.txt, and those of the files that it names."""
    for line in requirements(text_of(file)):
        found = re.match(r"(?:-r|--requirement)[\s=]+(\S+)", line)
        other = file.parent / found[1] if found else None
        if other is None:
            yield line
        elif depth < 3 and other.is_file() and other.resolve().is_relative_to(root.resolve()):
            yield from all_lines(other, root, depth + 1)


def named(lines: Iterable[Any]) -> dict[str, set[str]]:
    """The packages of these requirements, each with its extras."""
    found: dict[str, set[str]] = {}
    for line in map(str, lines):
        egg = re.search(r"[#&]egg=([\w.-]+)", line)
        match = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?", line)
        if match or egg:
            name = egg[1] if egg else match[1] if match else ""
            extras = (match[2] or "").split(",") if match else []
            found.setdefault(normalise(name), set()).update(normalise(each.strip()) for each in extras if each.strip())
    return found


def without_wheel(pins: Mapping[str, str], python: int) -> dict[str, int]:
    """The packages whose pinned version has no wheel for Python 3.`python`, and the newest for which it has one."""
    found = {}
    for name, version in pins.items():
        firsts = WHEELS.get(name) or (PYDANTIC if name == "pydantic" and in_range(version, ">=2") else ())
        fits = [FIRST + number for number, first in enumerate(firsts) if in_range(version, f">={first}")]
        newest = max(fits, default=FIRST - 1)
        if firsts and newest < min(python, FIRST + len(firsts) - 1):
            found[name] = newest
    return found
