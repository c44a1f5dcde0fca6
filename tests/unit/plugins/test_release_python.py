"""Which Python a release gets: as the operator says, as the project says, or the host's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import python as release_python
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Settings
from ansible_collections.production.fastapi.plugins.module_utils._release.python import (
    Wish,
    allows,
    find_python,
    range_of_poetry,
)
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

REQUIRED = {"project": {"requires-python": ">=3.11"}}


@pytest.fixture
def pythons(tmp_path, monkeypatch):
    """Interpreters that say their version, the host's own being 3.11.2; returns the PATH that has them."""

    def make(name: str, version: str) -> Path:
        python = tmp_path / "bin" / name
        python.parent.mkdir(exist_ok=True)
        python.write_text(f"#!/bin/sh\necho {version}\n")
        python.chmod(0o755)
        return python

    make("python3.9", "3.9.7")
    make("python3.13", "3.13.5")
    make("python3.12", "3.12.1")
    make("python3.12-config", "none")
    monkeypatch.setattr(release_python, "OWN", make("python3.11", "3.11.2"))
    return str(tmp_path / "bin")


def test_the_setting_goes_before_the_file_and_the_file_before_the_range(tmp_path):
    assert Wish.read("", tmp_path, tmp_path, {}) == Wish()
    assert Wish.read("", tmp_path, tmp_path, REQUIRED) == Wish(">=3.11", "requires-python")
    (tmp_path / ".python-version").write_text("# of pyenv\n3.12.4\n3.11\n")
    assert Wish.read("", tmp_path, tmp_path, REQUIRED) == Wish("3.12", ".python-version")
    assert Wish.read("3.13", tmp_path, tmp_path, REQUIRED) == Wish("3.13", "app_python")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("FROM node:20 AS front\nFROM python:3.12-slim\nRUN true\n", "3.12"),
        ("from --platform=linux/amd64 registry.example.com/library/python:3.11.4 as app", "3.11"),
        ("FROM tiangolo/uvicorn-gunicorn-fastapi:python3.11", "3.11"),
        ("ARG IMAGE=python:3.13.2-slim\nFROM $IMAGE AS app", "3.13"),
        ("FROM python:3.8", "3.10"),
        ("FROM python:3\n# FROM python:3.12", ""),
        ("FROM python:${VERSION}", ""),
    ],
)
def test_the_image_of_a_dockerfile_is_the_last_to_say(tmp_path, text, version):
    (tmp_path / "Dockerfile").write_text(text)
    (tmp_path / "backend").mkdir()
    known = Wish(version, "Dockerfile") if version else Wish()
    assert Wish.read("", tmp_path, tmp_path / "backend", {}) == known
    assert Wish.read("", tmp_path, tmp_path / "backend", REQUIRED) == Wish(">=3.11", "requires-python")


def test_without_the_python_of_the_dockerfile_the_host_s_own_has_to_do(pythons, tmp_path):
    assert (
        find_python(Wish("3.14", "Dockerfile"), Path("/bin/false"), Settings(), tmp_path, pythons).name == "python3.11"
    )
    assert (
        find_python(Wish("3.12", "Dockerfile"), Path("/bin/false"), Settings(), tmp_path, pythons).name == "python3.12"
    )


@pytest.mark.parametrize(
    ("named", "range_"),
    [
        (">=3.12,<3.13", ">=3.12,<3.13"),
        ("^3.11", ">=3.11,<4"),
        ("^3.11.4", ">=3.11.4,<4"),
        ("~3.11", ">=3.11,<3.12"),
        ("~3", ">=3,<4"),
        ("3.12", "==3.12.*"),
        ("3.12.*", "==3.12.*"),
        (">= 3.11, !=3.12.1", ">=3.11,!=3.12.1"),
        ("*", ""),
        ("^3.8 || ^3.12", ""),
        (None, ""),
    ],
)
def test_the_range_of_a_project_of_poetry(tmp_path, named, range_):
    described = {"tool": {"poetry": {"dependencies": {"python": named} if named else {}}}}
    assert range_of_poetry(described) == range_
    assert Wish.read("", tmp_path, tmp_path, described) == (Wish(range_, "tool.poetry") if range_ else Wish())


def test_requires_python_goes_before_the_range_of_poetry(tmp_path):
    described = {**REQUIRED, "tool": {"poetry": {"dependencies": {"python": "^3.12"}}}}
    assert Wish.read("", tmp_path, tmp_path, described).by == "requires-python"


def test_a_version_file_is_found_up_to_the_root_of_the_source(tmp_path):
    app = tmp_path / "src" / "services" / "api"
    app.mkdir(parents=True)
    (tmp_path / ".python-version").write_text("3.9\n")
    assert Wish.read("", tmp_path / "src", app, {}) == Wish()
    (tmp_path / "src" / ".python-version").write_text("cpython-3.12\n")
    assert Wish.read("", tmp_path / "src", app, {}).version == "3.12"
    (app / ".python-version").write_text("3.13\n")
    assert Wish.read("", tmp_path / "src", app, {}).version == "3.13"


@pytest.mark.parametrize("text", ["", "3\n", "system\n"])
def test_a_version_file_that_names_no_version_leaves_it_to_the_range(tmp_path, text):
    (tmp_path / ".python-version").write_text(text)
    assert Wish.read("", tmp_path, tmp_path, REQUIRED).by == "requires-python"


@pytest.mark.parametrize("text", ["pypy3.10-7.3.12", "3.13t", "my-virtualenv", "2.7.18"])
def test_a_version_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / ".python-version").write_text(text)
    with pytest.raises(
        ReleaseError, match=r"^app_python: \.python-version says .*; set app_python to a version such as"
    ):
        Wish.read("", tmp_path, tmp_path, {})
    assert Wish.read("3.12", tmp_path, tmp_path, {}).version == "3.12"


@pytest.mark.parametrize(
    ("range_", "version", "allowed"),
    [
        (">=3.11", "3.11.2", True),
        (">=3.12", "3.11.2", False),
        (">=3.10,<3.13", "3.13.5", False),
        ("==3.11.*", "3.11.2", True),
        ("==3.1.*", "3.11.2", False),
        ("!=3.11.*", "3.11.2", False),
        ("~=3.11", "3.13.5", True),
        ("~=3.12", "3.11.2", False),
        ("~=3.11.4", "3.12.0", False),
        (" >= 3.11 , ", "3.11.2", True),
        ("^3.11", "3.9.7", True),
    ],
)
def test_ranges_are_read_as_an_index_reads_them(range_, version, allowed):
    assert allows(range_, version) is allowed


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        (Wish(), "python3.11"),
        (Wish("3.12", "app_python"), "python3.12"),
        (Wish(">=3.9", "requires-python"), "python3.11"),
        (Wish(">=3.12", "requires-python"), "python3.13"),
        (Wish(">=3.12,<3.13", "requires-python"), "python3.12"),
        (Wish("<3.10", "requires-python"), "python3.9"),
    ],
    ids=str,
)
def test_what_the_host_has_is_taken_its_own_first(pythons, tmp_path, wish, name):
    assert find_python(wish, tmp_path / "uv", Settings(), tmp_path, pythons).name == name


@pytest.mark.parametrize(
    ("wish", "asks"),
    [
        (Wish("3.14", ".python-version"), r"\.python-version asks for Python 3\.14"),
        (Wish(">=3.14", "requires-python"), r"requires-python asks for Python >=3\.14"),
    ],
    ids=str,
)
def test_what_the_host_does_not_have_and_uv_cannot_bring_is_one_sentence(pythons, tmp_path, wish, asks):
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'error: no download for cpython' >&2; exit 2\n")
    uv.chmod(0o755)
    sentence = rf"^app_python: {asks}, the host has 3\.11, 3\.13, 3\.12, 3\.9, and uv cannot install it: "
    with pytest.raises(ReleaseError, match=sentence + "no download for cpython$"):
        find_python(wish, uv, Settings(), tmp_path, pythons)


def test_what_uv_brings_is_taken(pythons, tmp_path):
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$@" >> "$UV_PYTHON_INSTALL_DIR.asked"; echo /opt/found/python3.14\n')
    uv.chmod(0o755)
    wish = Wish(">=3.14,<4", "requires-python")
    assert find_python(wish, uv, Settings(), tmp_path, pythons) == Path("/opt/found/python3.14")
    asked = (tmp_path / "python.asked").read_text().splitlines()
    assert asked == ["python install --no-bin >=3.14,<4", "python find --managed-python >=3.14,<4"]


def test_uv_takes_a_range_as_a_version(tmp_path):
    """Of the Python that runs this: what the range excludes it does not find."""
    uv = next((Path(folder) / "uv" for folder in UV_FOLDERS if (Path(folder) / "uv").is_file()), None)
    if uv is None:
        pytest.skip("this machine has no uv")
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CACHE": "1"}
    words = [uv, "python", "find", "--no-project", "--python-preference", "only-system"]
    for range_, found in ((">=3.2,<4", True), (">=3.2,<3.4", False)):
        done = subprocess.run([*words, range_], env=environment, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) is found, done.stderr


UV_FOLDERS = [str(Path(__file__).parents[3] / ".venv" / "bin"), *os.environ["PATH"].split(":")]
