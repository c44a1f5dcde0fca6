"""What of a folder goes to hosts: whatever lies there is taken, left out, or refused by a sentence, and at once."""

from __future__ import annotations

import io
import os
import socket
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import folder as release_folder
from ansible_collections.production.fastapi.plugins.module_utils._release.folder import list_files, pack, tree_hash
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils._release.tree import unpack
from ansible_collections.production.fastapi.tests.unit.plugins.release_helpers import commit, git


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "app"
    for path in (
        "main.py",
        "a/b.py",
        ".env",
        ".venv/x.py",
        "__pycache__/c.py",
        "d.pyc",
        "node_modules/e.js",
        ".hidden",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    (folder / "a" / "link").symlink_to("b.py")
    return folder


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    pack(folder, buffer)
    return buffer.getvalue()


def names(folder: Path) -> list[str]:
    return [str(path) for path in list_files(folder)]


def test_without_git_all_but_what_tools_make_goes(folder):
    assert names(folder) == [".hidden", "a/b.py", "a/link", "main.py"]


def test_in_a_work_tree_what_git_would_commit_goes(folder):
    git(folder, "init", "--quiet")
    (folder / ".gitignore").write_text(".env\n.venv\n*.pyc\n__pycache__\nnode_modules\n")
    (folder / "gone.py").write_text("")
    git(folder, "add", "main.py", "gone.py")
    (folder / "gone.py").unlink()
    assert names(folder) == [".gitignore", ".hidden", "a/b.py", "a/link", "main.py"]


def test_a_folder_that_git_ignores_is_taken_as_it_is(folder):
    git(folder.parent, "init", "--quiet")
    (folder.parent / ".gitignore").write_text("app\n")
    assert "main.py" in names(folder)


def test_the_hash_follows_the_content_and_nothing_else(folder):
    before, archive = tree_hash(folder), packed(folder)
    os.utime(folder / "main.py", (1, 1))
    (folder / "main.py").chmod(0o600)
    (folder / ".env").write_text("other")
    assert tree_hash(folder) == before
    assert packed(folder) == archive


@pytest.mark.parametrize("change", ["content", "name", "program", "link"])
def test_every_change_of_the_app_is_another_hash(folder, change):
    before = tree_hash(folder)
    if change == "content":
        (folder / "main.py").write_text("changed")
    elif change == "name":
        (folder / "main.py").rename(folder / "niam.py")
    elif change == "program":
        (folder / "main.py").chmod(0o755)
    else:
        (folder / "a" / "link").unlink()
        (folder / "a" / "link").symlink_to("c.py")
    assert tree_hash(folder) != before


@pytest.fixture(params=["with git", "without git"])
def laptop(request, tmp_path):
    """A folder with an app, and maybe git in it."""
    folder = tmp_path / "laptop"
    folder.mkdir()
    (folder / "main.py").write_bytes(b"print(1)\r\n")
    if request.param == "with git":
        commit(folder)
    return folder


def sent(folder: Path, tmp_path: Path) -> list[str]:
    """What a host has of a folder, in the end."""
    tree_hash(folder)
    (tmp_path / "sent").write_bytes(packed(folder))
    unpack(tmp_path / "sent", tmp_path / "src", whole=True)
    found = (path for path in (tmp_path / "src").rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(os.fsencode(path.relative_to(tmp_path / "src")).decode(errors="replace") for path in found)


@pytest.mark.parametrize("name", [".venv", "env", "my env"])
def test_a_virtualenv_is_left_out_whatever_its_name(laptop, tmp_path, name):
    (laptop / name / "bin").mkdir(parents=True)
    (laptop / name / "pyvenv.cfg").touch()
    (laptop / name / "bin" / "python").symlink_to(sys.executable)
    assert sent(laptop, tmp_path) == ["main.py"]


def test_what_tools_have_made_is_left_out(laptop, tmp_path):
    for name in ("node_modules/left.js", "client/node_modules/left.js", "__pycache__/main.cpython-311.pyc"):
        (laptop / name).parent.mkdir(parents=True)
        (laptop / name).touch()
    assert sent(laptop, tmp_path) == ["main.py"]


def test_what_git_has_is_taken_even_if_a_tool_could_have_made_it(tmp_path):
    (tmp_path / "laptop" / "node_modules").mkdir(parents=True)
    (tmp_path / "laptop" / "node_modules" / "patched.js").touch()
    commit(tmp_path / "laptop")
    assert sent(tmp_path / "laptop", tmp_path) == ["node_modules/patched.js"]


def test_sockets_and_pipes_are_left_out(laptop, tmp_path, monkeypatch):
    monkeypatch.chdir(laptop)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("app.sock")
        os.mkfifo("pipe")
        assert sent(laptop, tmp_path) == ["main.py"]


def test_names_that_are_no_text_and_line_ends_are_taken_as_they_are(laptop, tmp_path):
    for name in (b"caf\xe9.txt", b"two\nlines"):
        Path(os.fsdecode(os.fsencode(laptop) + b"/" + name)).touch()
    assert sent(laptop, tmp_path) == ["caf\N{REPLACEMENT CHARACTER}.txt", "main.py", "two\nlines"]
    assert (tmp_path / "src" / "main.py").read_bytes() == b"print(1)\r\n"


def test_a_link_that_leads_nowhere_inside_is_taken(laptop, tmp_path):
    (laptop / "latest").symlink_to("not/yet")
    assert sent(laptop, tmp_path) == ["latest", "main.py"]


@pytest.mark.parametrize("target", ["/etc/hostname", "../other", "a/../../other"])
def test_a_link_that_leads_out_is_refused(laptop, target):
    (laptop / "data").symlink_to(target)
    with pytest.raises(ReleaseError, match=rf"^app_source\.folder: data is a link to {target}, which is outside"):
        list_files(laptop)


def test_what_is_too_large_is_refused_before_it_is_read(laptop, monkeypatch):
    monkeypatch.setattr(release_folder, "_read", lambda _path: pytest.fail("read"))
    with (laptop / "model.bin").open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(ReleaseError, match=r"has 5120 MB, of which model\.bin has 5120, and 1024 MB is the most"):
        tree_hash(laptop)


def test_too_many_files_are_refused(laptop, monkeypatch):
    monkeypatch.setattr(release_folder, "MOST_FILES", 20)
    for number in range(30):
        (laptop / f"{number}.txt").touch()
    with pytest.raises(ReleaseError, match=r"^app_source\.folder: .* has more than 20 files; name the folder"):
        list_files(laptop)


def test_a_file_that_cannot_be_read_is_named(laptop, monkeypatch):
    (laptop / "secret.key").touch()
    # Root could read it.
    monkeypatch.setattr(os, "access", lambda path, _mode: path.name != "secret.key")
    with pytest.raises(ReleaseError, match=r"^app_source\.folder: secret\.key cannot be read: Permission denied"):
        list_files(laptop)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", f"{folder}/closed"))
        return []

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(ReleaseError, match=r"^app_source\.folder: closed cannot be read: Permission denied; let it"):
        list_files(tmp_path)


def test_a_work_tree_of_somebody_else_is_still_one(tmp_path, monkeypatch):
    """Else what git ignores would go."""
    (tmp_path / "app").mkdir()
    for name, text in (("main.py", ""), ("secret", ""), (".gitignore", "secret\n")):
        (tmp_path / "app" / name).write_text(text)
    git(tmp_path / "app", "add", "main.py")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true")
    assert names(tmp_path / "app") == [".gitignore", "main.py"]


def test_a_work_tree_runs_nothing(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").touch()
    git(tmp_path / "app", "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    names(tmp_path / "app")
    assert not (tmp_path / "ran").exists()


def test_what_git_ignores_can_be_included(tmp_path):
    app = tmp_path / "app"
    for path in (
        "client/build/app.js",
        "client/build/node_modules/needed.js",
        "client/src/app.ts",
        "notes.txt",
        "main.py",
    ):
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).touch()
    (app / ".gitignore").write_text("build\nnotes.txt\n")
    commit(app)
    without = [".gitignore", "client/src/app.ts", "main.py"]
    assert names(app) == without
    built = ["client/build/app.js", "client/build/node_modules/needed.js"]
    assert [str(path) for path in list_files(app, ["client/build", "notes.txt"])] == sorted(
        [*without, *built, "notes.txt"]
    )
    assert tree_hash(app) != tree_hash(app, ["client/build"])
    buffer = io.BytesIO()
    pack(app, buffer, ["client/build"])
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        assert set(built) < set(archive.getnames())
    (app / "client" / "build" / "app.js").write_text("new")
    assert PurePosixPath("client/build/app.js") in list_files(app, ["client/build/app.js"])


@pytest.mark.parametrize(
    ("include", "sentence"),
    [
        ("../other", "write ../other as a path inside of the folder"),
        ("/etc", "write /etc as a path inside of the folder"),
        (".", "write . as a path inside of the folder"),
        ("client/build", "has nothing at client/build; build it first"),
        ("empty", "has nothing at empty; build it first"),
        ("link/empty", "link/empty is behind a link"),
    ],
)
def test_what_cannot_be_included_is_refused(tmp_path, include, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(".")
    with pytest.raises(ReleaseError, match=r"^app_source\.include: ") as error:
        list_files(tmp_path, [include])
    assert sentence in str(error.value)


def test_what_was_packed_is_unpacked(folder, tmp_path):
    (folder / "main.py").chmod(0o755)
    (tmp_path / "source").write_bytes(packed(folder))
    unpack(tmp_path / "source", tmp_path / "src")
    assert names(tmp_path / "src") == names(folder)
    assert tree_hash(tmp_path / "src") == tree_hash(folder)
    assert (tmp_path / "src" / "main.py").stat().st_mtime > 1_600_000_000
    assert not (tmp_path / "src.unpacked").exists()


def test_a_submodule_that_nobody_has_checked_out_has_what_lies_there(tmp_path):
    (tmp_path / "main.py").write_text("")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    git(tmp_path, "update-index", "--add", "--cacheinfo", f"160000,{head},vendor")
    (tmp_path / "vendor").mkdir()
    assert names(tmp_path) == ["main.py"]
    (tmp_path / "vendor/a.py").write_text("")
    assert names(tmp_path) == ["main.py", "vendor/a.py"]
