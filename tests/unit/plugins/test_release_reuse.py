"""When the virtualenv of the live release is taken for the next one, and that the copy is as good as one's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release.forms import Chosen
from ansible_collections.production.fastapi.plugins.module_utils._release.install import Wanted
from ansible_collections.production.fastapi.plugins.module_utils._release.reuse import copy, digest, inputs

BUILDABLE = '[build-system]\nrequires = ["x"]\n'
PROJECT = '[project]\nname = "hello"\nversion = "1"\ndependencies = ["fastapi>=0.100"]\n'
LOCK = '[[package]]\nname = "fastapi"\nversion = "0.121.0"\nsource = { registry = "https://index.example/simple" }\n'
PYLOCK = '[[packages]]\nname = "fastapi"\nversion = "0.121.0"\n[[packages.wheels]]\nurl = "https://example.com/a.whl"\n'


def of(folder: Path, form: str, files: dict[str, str], **settings: object) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    project = folder / "api" if (folder / "api").is_dir() else folder
    return inputs(Wanted.read(form, project, Chosen()), folder, Path(sys.executable).resolve(), settings)


@pytest.mark.parametrize(
    ("form", "files"),
    [
        (
            "requirements.txt",
            {"requirements.txt": "fastapi==0.121.0 \\\n    --hash=sha256:00\nuvicorn[standard]>=0.30 # x\n"},
        ),
        (
            "requirements.txt",
            {"requirements.txt": "--index-url https://example.com/simple\na==1; python_version > '3.11'\n"},
        ),
        ("pyproject.toml", {"pyproject.toml": PROJECT}),
        ("pyproject.toml", {"pyproject.toml": PROJECT + '[tool.uv.sources]\nfastapi = { index = "own" }\n'}),
        ("uv.lock", {"pyproject.toml": PROJECT, "uv.lock": LOCK}),
        ("uv.lock", {"api/pyproject.toml": PROJECT, "uv.lock": LOCK, "pyproject.toml": "[tool.uv.workspace]\n"}),
        ("uv.lock", {"pyproject.toml": PROJECT, "uv.lock": LOCK + '[[package]]\nname="hello"\nsource={virtual="."}\n'}),
        ("pylock.toml", {"pylock.toml": PYLOCK}),
        ("hello==1.0", {}),
    ],
)
def test_what_comes_from_an_index_goes_by_the_texts_and_settings(tmp_path, form, files):
    first = of(tmp_path, form, files)
    assert first
    assert of(tmp_path, form, {**files, "main.py": "another = 1\n"}) == first
    assert of(tmp_path, form, files, index_url="https://example.com") != first
    for name in files:
        assert of(tmp_path, form, {name: files[name] + "# another\n"}) != first
        (tmp_path / name).write_text(files[name])
    (tmp_path / "uv.toml").write_text("no-cache = true\n")
    assert of(tmp_path, form, {}) != first


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("requirements.txt", {"requirements.txt": "-r more.txt\n"}),
        ("requirements.txt", {"requirements.txt": "-c constraints.txt\na==1\n"}),
        ("requirements.txt", {"requirements.txt": "a==1\n-e ./b\n"}),
        ("requirements.txt", {"requirements.txt": "./vendor/a.whl\n"}),
        ("requirements.txt", {"requirements.txt": "a-1-py3-none-any.whl\n", "a-1-py3-none-any.whl": ""}),
        ("requirements.txt", {"requirements.txt": "a @ https://example.com/a.whl\n"}),
        ("requirements.txt", {"requirements.txt": "--find-links wheels\na==1\n"}),
        ("requirements.txt", {"requirements.txt": "--index-url file:///srv/index\na==1\n"}),
        ("requirements.txt", {"requirements.txt": "a==1\n", "pyproject.toml": BUILDABLE}),
        ("requirements.txt", {"requirements.txt": "a==1\n", "uv.toml": 'find-links = ["wheels"]\n'}),
        ("pyproject.toml", {"pyproject.toml": PROJECT.replace("fastapi>=0.100", "a @ file:///srv/a.whl")}),
        ("pyproject.toml", {"pyproject.toml": PROJECT + '[tool.uv.sources]\nfastapi = { path = "a.whl" }\n'}),
        (
            "pyproject.toml",
            {"pyproject.toml": PROJECT + '[project.optional-dependencies]\nx = ["a @ file:///a.whl"]\n'},
        ),
        ("uv.lock", {"pyproject.toml": PROJECT, "uv.lock": LOCK.replace("registry", "path")}),
        ("uv.lock", {"pyproject.toml": PROJECT, "uv.lock": LOCK.replace("https://index.example/simple", "../wheels")}),
        ("uv.lock", {"pyproject.toml": PROJECT, "uv.lock": "no lock"}),
        ("requirements.txt", {"requirements.txt": "a==1\n", "uv.toml": '[[index]]\nurl = "./wheels"\n'}),
        (
            "requirements.txt",
            {"requirements.txt": "a==1\n", "uv.toml": 'override-dependencies = ["b @ file:///b.whl"]\n'},
        ),
        ("pylock.toml", {"pylock.toml": PYLOCK.replace("url =", "path =")}),
        ("pylock.toml", {"pylock.toml": PYLOCK.replace("[[packages.wheels]]\nurl", "directory")}),
    ],
)
def test_what_may_depend_on_other_files_is_installed_anew(tmp_path, form, files):
    assert of(tmp_path, form, files) == ""


def test_a_link_of_the_source_is_not_read_by_root(tmp_path):
    (tmp_path / "uv.toml").symlink_to("/etc/passwd")
    assert of(tmp_path, "hello==1.0", {}) == ""


@pytest.mark.parametrize("option", ["--find-links=/opt/wheels", "-f"])
def test_packages_in_a_folder_of_the_host_are_installed_anew(tmp_path, option):
    files = {"requirements.txt": "a==1\n"}
    assert of(tmp_path, "requirements.txt", files, install_options=["--no-cache"])
    assert of(tmp_path, "requirements.txt", files, install_options=[option]) == ""
    assert of(tmp_path, "requirements.txt", files, index_url="file:///srv/index") == ""


@pytest.fixture
def venv(tmp_path):
    """A virtualenv with a package and its program."""
    folder = tmp_path / "one" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    package = folder / "lib" / "package"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 1\n")
    (folder / "bin" / "tool").write_text(f"#!{folder}/bin/python\nprint('of', __file__)\n")
    (folder / "bin" / "tool").chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o022)
    return folder


def test_a_copy_stands_for_itself_and_has_the_same_digest(venv, tmp_path):
    target = tmp_path / "a-longer-name" / "venv"
    target.parent.mkdir()
    copy(venv, target)
    assert digest(target) == digest(venv) != ""
    assert str(venv) not in (target / "pyvenv.cfg").read_text()
    assert subprocess.check_output([target / "bin/tool"], text=True) == f"of {target}/bin/tool\n"
    prefix = [target / "bin/python", "-c", "import sys; print(sys.prefix)"]
    assert subprocess.check_output(prefix, text=True) == f"{target}\n"
    assert all(path.stat().st_nlink == 1 for path in target.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.parametrize(
    "change",
    [
        lambda venv: (venv / "lib/package/__init__.py").write_text("VALUE = 2\n"),
        lambda venv: (venv / "lib/package/more.py").write_text(""),
        lambda venv: (venv / "lib/package/__init__.py").unlink(),
        lambda venv: (venv / "bin/tool").write_text("#!/bin/sh\n"),
        lambda venv: (venv / "bin/tool").chmod(0o700),
        lambda venv: (venv / "bin/python").unlink() or (venv / "bin/python").symlink_to("/bin/true"),
    ],
)
def test_a_change_by_hand_is_seen(venv, change):
    before = digest(venv)
    change(venv)
    assert digest(venv) != before


def test_what_others_may_write_is_not_taken(venv, monkeypatch):
    assert digest(venv)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert digest(venv) == ""
    monkeypatch.undo()
    (venv / "lib/package/__init__.py").chmod(0o664)
    assert digest(venv) == ""
