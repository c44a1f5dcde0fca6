"""What a git source has beside its files: those in Git LFS, and the history that says which version the app is."""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import git as release_git
from ansible_collections.production.fastapi.plugins.module_utils._release.folder import pack, tree_hash
from ansible_collections.production.fastapi.plugins.module_utils._release.git import Git
from ansible_collections.production.fastapi.plugins.module_utils._release.host import PATH, Account, Settings
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError, explain_install
from ansible_collections.production.fastapi.tests.unit.plugins.release_helpers import (
    MAIN,
    build_here,
    commit,
    git,
    needs_uv,
    packages,
    release_of,
)


@pytest.fixture
def git_lfs() -> None:
    """Debian's package; `script/test quick` leaves out the tests that use this."""
    assert shutil.which("git-lfs", path=PATH), "git-lfs is missing: install Debian's package git-lfs"


# A backend in the source itself, so that nothing has to be fetched. Like that of setuptools-scm and others, it asks git
# which version it builds, and git says `-dirty` where a file is not as it was committed.
BACKEND = """
import os, subprocess, zipfile

def _version():
    words = ["git", "describe", "--tags", "--dirty"]
    said = subprocess.run(words, capture_output=True, text=True)
    if said.returncode:
        raise SystemExit("LookupError: setuptools-scm was unable to detect version for " + os.getcwd())
    return said.stdout.strip().lstrip("v").replace("-", "+", 1).replace("-", ".")

def build_editable(folder, config_settings=None, metadata_directory=None):
    version = os.environ.get("SETUPTOOLS_SCM_PRETEND_VERSION") or _version()
    about, name = f"hello-{version}.dist-info", f"hello-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\\nName: hello\\nVersion: {version}\\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{about}/RECORD", "")
    return name

build_wheel = build_editable
"""
PYPROJECT = """
[project]
name = "hello"
dynamic = ["version"]
dependencies = []
requires-python = ">=3.11"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    build_here(monkeypatch)
    folder = tmp_path / "source"
    folder.mkdir()
    for name, text in (("main.py", MAIN), ("backend.py", BACKEND), ("pyproject.toml", PYPROJECT)):
        (folder / name).write_text(text)
    return folder


@needs_uv
def test_a_version_comes_from_git_and_git_stays_behind(source):
    commit(source)
    git(source, "tag", "v1.4.0")
    for after in ("1.4.0", "1.4.0+1.g"):
        release = release_of(source)
        release.build(None)
        assert packages(release)["hello"].startswith(after)
        assert "dirty" not in packages(release)["hello"]
        assert not list(release.path.rglob(".git"))
        commit(source)


@needs_uv
def test_build_commands_may_ask_git(source):
    (source / "pyproject.toml").write_text('[project]\nname = "hello"\nversion = "1"\n')
    commit(source)
    release = release_of(source, build_commands=["git rev-parse HEAD >revision; git status --short -uno >status"])
    release.build(None)
    assert (release.path / "src" / "revision").read_text().strip() == release.commit
    assert (release.path / "src" / "status").read_text() == ""
    assert not (release.path / "src" / ".git").exists()


@needs_uv
@pytest.mark.parametrize("planted", ["rm -r .git; ln -s / .git", "rm -r .git; touch .git", "rm -r .git"])
def test_whatever_a_build_makes_of_its_history_goes(source, planted):
    commit(source)
    git(source, "tag", "v1")
    release = release_of(source, build_commands=[planted])
    release.build(None)
    assert not os.path.lexists(release.path / "src" / ".git")


@needs_uv
def test_a_source_without_history_says_so_and_can_be_told_its_version(source):
    upload = source.parent / "upload"
    with upload.open("wb") as file:
        pack(source, file)
    folder = {"source": {"folder": str(source), "tree": tree_hash(source)}}
    with pytest.raises(
        ReleaseError, match=r"the version of the app comes from git, and this source has no history; use"
    ):
        release_of(source, **folder).build(upload)
    release = release_of(source, **folder, build_environment={"SETUPTOOLS_SCM_PRETEND_VERSION": "2.5"})
    release.build(upload)
    assert packages(release)["hello"] == "2.5"


@pytest.mark.parametrize(
    "said",
    [
        "LookupError: setuptools-scm was unable to detect version for /srv/x.",
        "versioningit.errors.NotVCSError: Git not installed; assuming this isn't a Git repository",
        "versioningit.errors.NotVCSError: '/srv/x' is not in a Git repository",
    ],
)
def test_tools_that_ask_git_are_known_by_what_they_say(said):
    output = f"error: Failed to build `hello @ file:///srv/x`\n  The build backend returned an error\n[stderr]\n{said}"
    assert "the version of the app comes from git" in explain_install(output, "pyproject.toml")


def place_in(folder: Path) -> Place:
    return Place("hello", folder / "srv", folder / "srv" / "releases" / "one", Account(None))


@pytest.fixture
def pointer(tmp_path):
    """A repository with a file that is in Git LFS, committed without it: its pointer alone."""
    folder = tmp_path / "repository"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (folder / "models" / "model.bin").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"
    )
    without = ["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"]
    git(folder, *without, "add", ".")
    git(folder, *without, "commit", "-qm", "x")
    return folder


def test_files_in_lfs_are_refused_where_the_host_cannot_fetch_them(pointer, tmp_path, monkeypatch):
    monkeypatch.setattr(release_git, "PATH", str(tmp_path))
    repository = Git(f"file://{pointer}", "", place_in(tmp_path), Settings())
    repository.place.prepare()
    with pytest.raises(
        ReleaseError, match=r"^app_source\.git: file://.* keeps files in Git LFS.* add git-lfs to app_pa"
    ):
        repository.checkout(repository.resolve("main"))


@pytest.mark.usefixtures("git_lfs")
def test_files_that_lfs_does_not_have_end_the_build(pointer, tmp_path):
    repository = Git(f"file://{pointer}", "", place_in(tmp_path), Settings())
    repository.place.prepare()
    with pytest.raises(
        ReleaseError, match=r"^app_source\.git: the files that file://.* keeps in Git LFS cannot be fetch"
    ):
        repository.checkout(repository.resolve("main"))


def with_lfs(folder: Path, content: str) -> str:
    """Commit a file to Git LFS; returns the commit."""
    folder.mkdir(exist_ok=True)
    git(folder, "lfs", "install", "--local")
    (folder / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (folder / "model.bin").write_text(content)
    (folder / "main.py").write_text(MAIN)
    (folder / "requirements.txt").touch()
    commit(folder)
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.mark.usefixtures("git_lfs")
def test_files_in_lfs_come_with_their_repository(tmp_path):
    repository = Git(f"file://{tmp_path}/lfs", "", place_in(tmp_path), Settings())
    for content in ("first", "second"):
        found = with_lfs(tmp_path / "lfs", content)
        repository.place.prepare()
        repository.checkout(found)
        assert (repository.place.source / "model.bin").read_text() == content
    assert len([path for path in repository.mirror.glob("lfs/objects/??/??/*") if path.is_file()]) == 1


@pytest.mark.usefixtures("git_lfs")
@needs_uv
def test_a_tree_with_files_in_lfs_is_as_it_was_committed(tmp_path, monkeypatch):
    build_here(monkeypatch)
    with_lfs(tmp_path / "lfs", "model")
    release = release_of(tmp_path / "lfs", build_commands=["git status --short -uno >status"])
    release.build(None)
    assert (release.path / "src" / "status").read_text() == ""
    assert (release.path / "src" / "model.bin").read_text() == "model"


@pytest.mark.usefixtures("git_lfs")
def test_lfs_is_asked_with_the_token_of_the_repository(tmp_path):
    """A server as GitLab and others are one: git over HTTP without a program, and the API of Git LFS."""
    with_lfs(tmp_path / "lfs", "model")
    git(tmp_path / "lfs", "update-server-info")
    (content,) = (path for path in (tmp_path / "lfs/.git/lfs/objects").glob("??/??/*") if path.is_file())
    known = "Basic " + base64.b64encode(b"bot:s3cr3t").decode()

    class Server(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(tmp_path / "lfs"), **options)

        def is_known(self):
            if self.headers.get("Authorization") == known:
                return True
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False

        def do_GET(self):
            if self.path == "/content":
                self.answer(content.read_bytes())
            elif self.is_known():
                super().do_GET()

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.is_known():
                where = f"http://127.0.0.1:{self.server.server_port}/content"
                named = {"oid": content.name, "size": content.stat().st_size, "actions": {"download": {"href": where}}}
                self.answer(json.dumps({"transfer": "basic", "objects": [named]}).encode())

        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.git-lfs+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://bot:s3cr3t@127.0.0.1:{server.server_port}/.git"
        repository = Git(url, "", place_in(tmp_path), Settings())
        repository.place.prepare()
        repository.checkout(repository.resolve("main"))
        server.shutdown()
    assert (repository.place.source / "model.bin").read_text() == "model"
    assert not [path for path in tmp_path.glob("srv/**/*") if path.is_file() and b"s3cr3t" in path.read_bytes()]
