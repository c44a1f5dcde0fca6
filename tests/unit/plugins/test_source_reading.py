"""What is read of the source of an app before its first run, a repository too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.source.reading import findings
from ansible_collections.production.fastapi.tests.unit.plugins.release_helpers import commit, git
from conftest import role_variables

DEFAULTS = role_variables("app")
REQUIREMENTS = ["uvicorn>=0.30,<1", "websockets>=13"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An app with more than one thing in the way, in a repository with a tag."""
    (tmp_path / "main.py").write_text("import httpx\napp = FastAPI()\n")
    (tmp_path / "requirements.txt").write_text("fastapi==0.100\nuvicorn==0.20.0\nwebsockets==10.3\n")
    (tmp_path / ".python-version").write_text("pypy3.10")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path)
    git(tmp_path, "tag", "v1")
    return tmp_path


def view(host: str = "web1", **variables: Any) -> View:
    groups = {"app_servers": ["web1", "web2"]}
    hostvars = {"web1": {"app_name": "shop"}, "web2": {"app_name": "shop"}}
    known = {"__app_stack_requirements": REQUIREMENTS, "ansible_play_hosts": ["web1", "web2"], **variables}
    return View(host, {"python_version": "3.13"}, groups, hostvars, known)


def found(source: Mapping[str, Any], seen: View, **settings: Any) -> dict[str, list[str]]:
    given = {**DEFAULTS, "app_name": "shop", "app_source": source, "app_entrypoint": "main:app", **settings}
    return findings(given, seen)


MISSING = "requirements.txt does not name httpx (main.py imports it)"


@pytest.mark.parametrize("version", ["main", "v1", "", None])
def test_a_repository_is_read_as_a_folder_is(repository: Path, version: str | None) -> None:
    of_git = found({"git": f"file://{repository}", "version": version}, view())
    assert [MISSING in each for each in of_git["hints"]] == [True]
    assert of_git == found({"folder": str(repository)}, view(inventory_dir="/", playbook_dir="/"))


def test_all_that_a_run_would_refuse_is_told_at_once(repository: Path) -> None:
    python, pins = found({"git": f"file://{repository}"}, view())["refused"]
    assert pins.startswith("The app asks for versions that it cannot be served with: uvicorn 0.20.0 (supported: >=0.30")
    assert "websockets 10.3" in pins
    assert python == 'app_python: .python-version says pypy3.10; set app_python to a version such as "3.12".'
    given = {"app_ignore_pins": ["uvicorn", "websockets"], "app_python": "3.12", "app_extras": ["x"]}
    told = found({"git": f"file://{repository}"}, view(), app_entrypoint="", **given)["refused"]
    assert [each.partition(":")[0] for each in told] == ["app_entrypoint", "app_extras"]
    assert found({"git": f"file://{repository}", "subdirectory": "api"}, view())["refused"] == [
        "app_source.subdirectory: the source has no folder api."
    ]


@pytest.mark.parametrize(("python", "refused"), [("3.10", True), ("3.11", False), ("", False)])
def test_what_uvicorn_needs_on_an_old_python_is_told_as_well(repository: Path, python: str, refused: bool) -> None:
    (repository / "requirements.txt").write_text("fastapi==0.65.2\ntyping_extensions==3.10.0.0\n")
    (repository / ".python-version").unlink()
    source, seen = {"folder": str(repository)}, view(inventory_dir="/", playbook_dir="/")
    told = found(source, seen, app_python=python)["refused"]
    named = "typing-extensions 3.10.0.0 (supported: >=4 with Python 3.10); change them in requirements.txt, or set"
    assert [named in each and "app_ignore_pins: [typing-extensions]" in each for each in told] == [True] * refused
    assert found(source, seen, app_python=python, app_ignore_pins=["typing-extensions"])["refused"] == []


def test_credentials_of_indexes_are_compared_with_the_project(repository: Path) -> None:
    credentials = {"private": {"username": "a", "password": "secret"}}
    told = found({"git": f"file://{repository}"}, view(app_index_credentials=credentials))["refused"]
    assert [each for each in told if "no index named private" in each and "secret" not in each]


def test_one_server_reads_for_all(repository: Path) -> None:
    source = {"git": f"file://{repository}"}
    assert found(source, view("web2")) == {"refused": [], "hints": []}
    assert found(source, view("web2", ansible_play_hosts=["web2"]))["hints"]


def test_a_repository_that_this_machine_cannot_read_is_no_problem(tmp_path: Path) -> None:
    source = {"git": f"file://user:secret@{tmp_path}/none", "version": "v1"}
    told = found(source, view())
    assert told["refused"] == []
    (sentence,) = told["hints"]
    assert sentence.startswith(f"app_source: this machine cannot read file://{tmp_path}/none at v1 (")
    assert "secret" not in sentence


@pytest.mark.parametrize("source", [{"archive": "https://example.com/a.tgz"}, {"package": "shop"}, {}, {"folder": "x"}])
def test_other_sources_are_not_read(source: Mapping[str, Any]) -> None:
    assert found(source, view()) == {"refused": [], "hints": []}
