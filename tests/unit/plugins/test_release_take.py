"""Root takes what somebody else has made: copies, by descriptors, that nobody else can change."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import public as public_files
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account
from ansible_collections.production.fastapi.plugins.module_utils._release.public import Public, keep_files
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils._release.take import take

RENAME_EXCHANGE = 2
AT_FDCWD = -100
LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    """Swap two names in one step."""
    assert LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "package").mkdir(parents=True)
    (made / "package" / "module.py").write_text("x = 1\n")
    (made / "tool").write_text("#!/bin/sh\n")
    (made / "tool").chmod(0o4777)
    return made


def test_what_is_taken_is_a_copy(tree: Path, tmp_path: Path) -> None:
    os.link(tree / "tool", tree / "again")
    os.utime(tree / "tool", (1, 1))
    kept = (tree / "package" / "module.py").open("a")
    taken = take(tree, tmp_path / "mine")
    kept.write("planted")
    kept.close()
    assert (tmp_path / "mine/package/module.py").read_text() == "x = 1\n"
    (paths,) = taken.sources.values()
    assert paths == [tmp_path / "mine/package/module.py"]
    for name, mode in (("tool", 0o755), ("again", 0o755), ("package/module.py", 0o644), ("package", 0o755)):
        known = (tmp_path / "mine" / name).stat()
        assert (known.st_mode & 0o7777, known.st_uid) == (mode, os.geteuid())
    assert (tmp_path / "mine/tool").stat().st_nlink == 1
    assert (tmp_path / "mine/tool").stat().st_mtime == 1


def test_links_are_copied_as_links_and_bytecode_stays(tree: Path, tmp_path: Path) -> None:
    (tree / "link").symlink_to("/etc")
    (tree / "package" / "__pycache__").mkdir()
    (tree / "package" / "__pycache__" / "module.pyc").write_text("planted")
    take(tree, tmp_path / "mine")
    assert (tmp_path / "mine/link").readlink() == Path("/etc")
    assert [path.name for path in (tmp_path / "mine/package").iterdir()] == ["module.py"]


def test_what_is_no_file_is_refused_and_nobody_waits_for_it(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "package" / "pipe")
    with pytest.raises(ReleaseError, match="has made package/pipe, which is neither a file, a folder nor a link"):
        take(tree, tmp_path / "mine")


def test_a_folder_that_is_swapped_for_a_link_all_the_while_leads_nowhere(tree: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("hunter2")
    (tree / "swapped").symlink_to(secret)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            exchange(tree / "package", tree / "swapped")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for number in range(200):
            mine = tmp_path / f"mine{number}"
            try:
                take(tree, mine)
            except ReleaseError:
                continue
            finally:
                assert "key" not in [name for _folder, _folders, files in os.walk(mine) for name in files]
    finally:
        ended.set()
        swapping.join()


def test_a_tree_that_is_given_away_takes_nothing_along_when_a_folder_becomes_a_link(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "module.py").touch()
    (tree / "swapped").symlink_to(victim)
    given: list[int] = []

    def chown(path: Path | str, _uid: int, _gid: int, **how: Any) -> None:
        if path in ("module.py", str(tree / "package" / "module.py")):  # the walk is in the folder
            exchange(tree / "package", tree / "swapped")
        given.append(os.stat(path, **how).st_ino)  # noqa: PTH116  # Path has no dir_fd

    monkeypatch.setattr(os, "chown", chown)
    inside = (tree / "package" / "module.py").stat().st_ino
    Account("shop", 1000, 1000).own(tree)
    assert inside in given
    assert not {victim.stat().st_ino, (victim / "module.py").stat().st_ino} & set(given)


def test_nginx_gets_the_folders_of_complete_releases_and_no_link_out_of_them(tmp_path: Path) -> None:
    told: list[str] = []
    public = Public(tmp_path, told.append)
    public.folder.parent.mkdir()
    for release in ("one", "two"):
        static = tmp_path / "releases" / release / "src" / "app" / "static"
        static.mkdir(parents=True)
        (static / "site.css").write_text(release)
        (static / "same.css").symlink_to("site.css")
        (static / "passwd").symlink_to("/etc/passwd")
        (static / "up").symlink_to("../../secret")
    assert public.publish(["one", "two"], ["app/static"], check=True) is True
    assert list(public.folder.parent.iterdir()) == []
    assert public.publish(["one", "two"], ["/app/static/"], check=False) is True
    assert public.publish(["one", "two"], ["app/static"], check=False) is False
    assert (public.folder / "two/app/static/same.css").read_text() == "two"
    assert sorted(path.name for path in (public.folder / "two/app/static").iterdir()) == ["same.css", "site.css"]
    assert len(told) == 2
    assert "is a link out of it, so Nginx does not get it" in told[0]
    assert public.publish(["two"], ["app/static", "media"], check=False) is True
    assert "media" in told[-1]
    assert [path.name for path in public.folder.iterdir()] == ["two"]
    assert public.publish(["two"], ["app/static", "media"], check=False) is False
    assert not (tmp_path / "public" / "kept").exists()


def test_a_folder_within_another_one_is_copied_once(assets, tmp_path):
    public = Public(tmp_path, pytest.fail)
    public.folder.parent.mkdir(exist_ok=True)
    assert public.publish(["one"], ["dist/assets", "dist"], ["dist/assets"], check=False) is True
    assert (public.folder / "one/dist/assets/app-one.js").read_text() == "one"
    assert public.publish(["one"], ["dist/assets", "dist"], ["dist/assets"], check=False) is False


@pytest.fixture
def assets(tmp_path):
    """Two releases of an app whose files have a hash in their names, and one that has not."""
    for number, release in enumerate(("one", "two")):
        folder = tmp_path / "releases" / release / "src" / "dist" / "assets"
        (folder / "more").mkdir(parents=True)
        (folder / f"app-{release}.js").write_text(release)
        (folder / "more" / f"{release}.css").write_text(release)
        (folder / "manifest.json").write_text(release)
        described = tmp_path / "releases" / release / "release.json"
        described.touch()
        os.utime(described, (number + 1, number + 1))
    (tmp_path / "public").mkdir()
    return Public(tmp_path, warn=lambda _text: None)


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_files_of_kept_releases_are_together(assets, tmp_path):
    kept = tmp_path / "public" / "kept"
    assert assets.publish(["one"], ["dist"], ["dist/assets"], check=False) is True
    assert assets.publish(["one", "two"], ["dist"], ["dist/assets"], check=False) is True
    assert files_of(kept / "dist" / "assets") == {
        "app-one.js": "one",
        "app-two.js": "two",
        "manifest.json": "two",
        "more/one.css": "one",
        "more/two.css": "two",
    }
    copy = assets.folder / "one" / "dist" / "assets" / "app-one.js"
    assert copy.stat().st_ino == (kept / "dist" / "assets" / "app-one.js").stat().st_ino
    assert kept.resolve().stat().st_mode & 0o777 == 0o755
    assert assets.publish(["one", "two"], ["dist"], ["dist/assets"], check=False) is False
    assert len(list((tmp_path / "public").glob(".kept-*"))) == 1


def test_they_outlive_their_release_and_go_with_the_setting(assets, tmp_path):
    kept = tmp_path / "public" / "kept"
    assets.publish(["one", "two"], ["dist/assets"], ["dist/assets"], check=False)
    shutil.rmtree(assets.folder / "one")
    keep_files(tmp_path / "public")
    both = {"app-one.js", "app-two.js", "manifest.json", "more/one.css", "more/two.css"}
    assert files_of(kept / "dist" / "assets").keys() == both
    keep_files(tmp_path / "public")
    assert files_of(kept / "dist" / "assets").keys() == both
    assert files_of(kept)["dist/assets/manifest.json"] == "two"
    assert assets.publish(["two"], ["dist/assets"], check=False) is True
    assert sorted(path.name for path in (tmp_path / "public").iterdir()) == ["releases"]


def test_they_go_a_time_after_their_release(assets, tmp_path, monkeypatch):
    kept = tmp_path / "public" / "kept"
    assets.publish(["one", "two"], ["dist/assets"], ["dist/assets"], check=False)
    shutil.rmtree(assets.folder / "one")
    left = public_files.time.time()
    for later, there in ((0, True), (public_files.KEPT_FOR - 60, True), (public_files.KEPT_FOR + 60, False)):
        monkeypatch.setattr(public_files.time, "time", lambda later=later: left + later)
        keep_files(tmp_path / "public")
        assert (kept / "dist/assets/more/one.css").exists() is there, later
    assert not (kept / public_files.GONE_SINCE).exists()


def test_of_files_without_a_release_the_latest_stay_where_they_are_too_much(assets, tmp_path, monkeypatch):
    kept = tmp_path / "public" / "kept"
    first = tmp_path / "releases" / "one" / "src" / "dist" / "assets"
    assets.publish(["one", "two"], ["dist/assets"], ["dist/assets"], check=False)
    for turn, gone in enumerate((first / "app-one.js", first / "more" / "one.css")):
        (assets.folder / "one" / gone.relative_to(tmp_path / "releases" / "one" / "src")).unlink()
        monkeypatch.setattr(public_files.time, "time", lambda turn=turn: 1000.0 + turn)
        keep_files(tmp_path / "public")
    assert {"app-one.js", "more/one.css"} < files_of(kept / "dist/assets").keys()
    monkeypatch.setattr(public_files, "MOST_GONE", len("one"))
    keep_files(tmp_path / "public")
    assert {"app-one.js", "more/one.css"} & files_of(kept / "dist/assets").keys() == {"more/one.css"}


def test_a_folder_on_the_way_to_nginx_s_files_may_be_no_link(tmp_path: Path) -> None:
    told: list[str] = []
    public = Public(tmp_path, told.append)
    public.folder.parent.mkdir()
    (tmp_path / "outside" / "static").mkdir(parents=True)
    (tmp_path / "outside" / "static" / "key").write_text("hunter2")
    source = tmp_path / "releases" / "one" / "src"
    source.mkdir(parents=True)
    (source / "app").symlink_to(tmp_path / "outside")
    public.publish(["one"], ["app/static"], check=False)
    assert "Nginx gets no app/static of release one" in told[0]
    assert list(public.folder.rglob("key")) == []
