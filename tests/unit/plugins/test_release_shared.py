"""Paths of a source that outlive its releases: links in each of them to one place."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release.build import Release
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils._release.shared import is_folder
from test_release_build import MAIN, prepare, source, this_python

__all__ = ["source", "this_python"]

SHARED = ["uploads", "notes.db", "data/"]


def build(source: Path, **options: object) -> Release:
    release, upload = prepare(source, **options)
    release.build(upload)
    return release


def shared(source: Path) -> Path:
    return source.parent / "srv" / "shared"


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("uploads", True),
        ("data/", True),
        ("notes.db", False),
        ("v1.2/", True),
        (".cache", True),
        ("var/app.log", False),
    ],
)
def test_what_the_source_does_not_have_is_a_folder_or_a_file_by_its_name(path: str, folder: bool) -> None:
    assert is_folder(path) is folder


def test_each_release_has_links_to_what_outlives_it(source: Path) -> None:
    first = build(source, shared=SHARED)
    for path in ("uploads", "notes.db", "data"):
        assert (first.path / "src" / path).readlink() == shared(source) / path
    (first.path / "src" / "notes.db").write_text("kept")
    (first.path / "src" / "uploads" / "one").write_text("kept")
    (source / "main.py").write_text("VERSION = 2\n" + MAIN)
    second = build(source, shared=SHARED)
    assert second.path != first.path
    assert (second.path / "src" / "notes.db").read_text() == "kept"
    assert (second.path / "src" / "uploads" / "one").read_text() == "kept"
    assert not (second.path / "first").exists()


def test_the_first_content_comes_from_the_source_and_only_the_first(source: Path) -> None:
    (source / "data" / "more").mkdir(parents=True)
    (source / "data" / "more" / "seed.py").write_text("SEED = 1\n")
    (source / "data" / "start").write_text("#!/bin/sh\n")
    (source / "data" / "start").chmod(0o755)
    (source / "notes.db").write_text("first")
    build(source, shared=SHARED)
    assert (shared(source) / "data" / "more" / "seed.py").read_text() == "SEED = 1\n"
    assert (shared(source) / "notes.db").read_text() == "first"
    assert (shared(source) / "data" / "more").stat().st_mode & 0o777 == 0o750
    assert (shared(source) / "notes.db").stat().st_mode & 0o777 == 0o640
    assert (shared(source) / "data" / "start").stat().st_mode & 0o777 == 0o750
    assert sorted(path.name for path in shared(source).iterdir()) == ["data", "notes.db", "uploads"]
    (source / "notes.db").write_text("second")
    (shared(source) / "data" / "start").unlink()
    build(source, shared=SHARED)
    assert (shared(source) / "notes.db").read_text() == "first"
    assert not (shared(source) / "data" / "start").exists()


def test_a_path_that_leaves_is_linked_no_longer_and_its_data_stays(source: Path) -> None:
    (source / "notes.db").write_text("first")
    build(source, shared=SHARED)
    second = build(source, shared=["uploads", "data/"])
    assert not (second.path / "src" / "notes.db").is_symlink()
    assert (shared(source) / "notes.db").read_text() == "first"


def test_what_is_shared_is_part_of_the_name_and_its_order_is_not(source: Path) -> None:
    plain = prepare(source)[0].path.name
    names = {prepare(source, shared=paths)[0].path.name for paths in (SHARED, SHARED[::-1], ["uploads"])}
    assert len(names | {plain}) == 3


@pytest.mark.parametrize(
    "main",
    [
        'import os\nos.makedirs("uploads", exist_ok=True)\n',
        'import sqlite3\nsqlite3.connect("notes.db").execute("create table if not exists note (text)")\n',
        'import logging\nlogging.basicConfig(handlers=[logging.FileHandler("notes.db")])\n',
        'import pathlib\npathlib.Path("data/2026").mkdir(parents=True, exist_ok=True)\n',
        'import pathlib\nassert not pathlib.Path("notes.db").exists()\n',
    ],
)
def test_an_app_that_writes_at_import_can(source: Path, main: str) -> None:
    (source / "main.py").write_text(main + MAIN)
    build(source, shared=SHARED)


def test_a_folder_of_the_source_below_another_one_is_shared(source: Path) -> None:
    (source / "services" / "api" / "media").mkdir(parents=True)
    (source / "services" / "api" / "media" / "logo").write_text("first")
    release = build(source, shared=["services/api/media"])
    assert (release.path / "src" / "services" / "api" / "media").readlink() == shared(source) / "services/api/media"
    assert (shared(source) / "services" / "api" / "media" / "logo").read_text() == "first"


def test_nothing_is_copied_along_a_link_of_the_app(source: Path, tmp_path: Path) -> None:
    (source / "var" / "media").mkdir(parents=True)
    (source / "var" / "media" / "logo").write_text("first")
    release, upload = prepare(source, shared=["var/media"])
    (tmp_path / "elsewhere").mkdir()
    (shared(source) / "var").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReleaseError, match=r"^app_shared: .*/shared cannot be filled: .*/shared/var is a link; put a"):
        release.build(upload)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["main.py"], "main.py has the app itself"),
        (["here/x"], "here of here/x is not a folder in the source"),
        (["here"], "here is a link in the source"),
        (["main.py/x"], "main.py of main.py/x is not a folder in the source"),
    ],
)
def test_paths_that_cannot_be_shared_are_refused(source: Path, paths: list[str], sentence: str) -> None:
    (source / "there").mkdir()
    (source / "here").symlink_to("there")
    release, upload = prepare(source, shared=paths)
    with pytest.raises(ReleaseError, match=f"^app_shared: {sentence}"):
        release.build(upload)
    assert not release.path.exists()
