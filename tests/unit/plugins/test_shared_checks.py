"""Bad values of app_shared: one sentence for each, before anything on a host has changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.shared import shared_problems as sentences


def shared_problems(*arguments):
    return list(sentences(*arguments))


GOOD = ["uploads", "notes.db", "data/", "a/b.c/d", ".cache", "..data", "user@host"]


def test_good_paths_are_no_problem() -> None:
    assert shared_problems(GOOD, [{"url": "/a/", "folder": "static"}], "/srv/shop/shared", ["/srv/shop/shared"]) == []


@pytest.mark.parametrize(
    "path", ["", "/", "/var/uploads", ".", "./a", "../a", "a/../b", "a//b", "a b", "a\nb", "a%i", 7, None]
)
def test_what_is_no_path_in_the_source_is_refused(path: Any) -> None:
    (sentence,) = shared_problems([path])
    assert sentence.startswith(f"app_shared: {path} can be no path in the source; write one such as uploads,")


@pytest.mark.parametrize("value", ["uploads", {"uploads": "data"}, None])
def test_what_is_no_list_is_refused(value: Any) -> None:
    assert shared_problems(value) == [
        "app_shared: write a list of paths in the source, such as [uploads, notes.db, data/]."
    ]


@pytest.mark.parametrize("paths", [["data", "data/"], ["data", "data/uploads"], ["data/uploads", "data"]])
def test_paths_within_each_other_are_refused(paths: list[str]) -> None:
    (sentence,) = shared_problems(paths)
    inner = "data" if "data/" in paths else "data/uploads"
    assert sentence == f"app_shared: {inner} is in data already; remove it from the list."


def test_a_shared_folder_that_the_app_may_not_write_in_is_refused() -> None:
    assert shared_problems(["a"], [], "/srv/shop/shared", ["/data"]) == [
        "app_shared: gunicorn_writable_folders has no /srv/shop/shared, so the app could not write there; add it."
    ]
    assert shared_problems([], [], "/srv/shop/shared", ["/data"]) == []


def test_static_files_in_a_shared_folder_have_another_key() -> None:
    assert shared_problems(["data"], [{"url": "/media/", "folder": "data/media/"}]) == [
        "app_static: data/media is in app_shared, so no release has it; write shared: data/media instead of"
        " folder: data/media."
    ]
