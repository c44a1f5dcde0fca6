# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a source, and what can be read of them without running one."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release import forms
from ansible_collections.production.fastapi.plugins.module_utils._release.folder import list_files
from ansible_collections.production.fastapi.plugins.module_utils._release.install import read_pyproject
from ansible_collections.production.fastapi.plugins.module_utils._release.python import Wish, allows
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.plugin_utils.source.packages import Listed
from ansible_collections.production.fastapi.plugins.plugin_utils.source.packages import listed as packages_of

MOST_MODULES = 2000
MOST_BYTES = 1_000_000
# What is not a part of the app that is served.
ASIDE = {"tests", "test", "migrations", "alembic", "scripts", "docs", "examples", "node_modules", "site-packages"}
COMPOSE = re.compile(r"(docker-)?compose[\w.-]*\.ya?ml")
# How Alembic's env.py says another database than alembic.ini.
CHANGES_URL = re.compile(
    r"environ|getenv|set_main_option|settings|config\.[A-Z_]+|url\s*=\s*(?!config\.get_main_option)\w"
)


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
