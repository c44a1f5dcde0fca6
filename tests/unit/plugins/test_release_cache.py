"""uv's cache does not grow for ever, and what it lends to a build is not lost while it is small."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import cache as release_cache
from ansible_collections.production.fastapi.plugins.module_utils._release.cache import prune, size
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.tests.unit.plugins.release_helpers import UV, needs_uv

MB = 1 << 20


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where 3 MB may be in the cache, of which a release has 1 MB installed."""
    monkeypatch.setattr(release_cache, "SPARE", MB)
    place = Place("hello", tmp_path / "srv", tmp_path / "srv" / "releases" / "one", Account(None))
    place.prepare()
    fill(place.path / "venv" / "lib" / "a.py", MB)
    return place


def fill(path: Path, length: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * length)


def test_a_small_cache_stays(place, monkeypatch):
    monkeypatch.setattr(release_cache, "run", lambda *_, **__: pytest.fail("pruned"))
    fill(place.cache / "uv" / "wheels" / "a.whl", 3 * MB)
    prune(place, UV, place.path / "venv")
    assert size(place.cache) == 3 * MB


@needs_uv
def test_what_nothing_leads_to_goes_first(place):
    """An archive without a name, as uv leaves it where another version has taken the name."""
    fill(place.cache / "uv" / "archive-v0" / "forgotten" / "a.py", 4 * MB)
    fill(place.cache / "uv" / "CACHEDIR.TAG", 10)
    prune(place, UV, place.path / "venv")
    assert not (place.cache / "uv" / "archive-v0" / "forgotten").exists()
    assert (place.cache / "uv" / "CACHEDIR.TAG").exists()


def test_a_cache_that_is_still_too_large_goes(place):
    fill(place.cache / "uv" / "wheels" / "a.whl", 4 * MB)
    prune(place, Path("/bin/true"), place.path / "venv")
    assert not (place.cache / "uv").exists()
    assert not (place.closed / ".former-cache").exists()
    assert place.cache.is_dir()


def test_a_file_with_two_names_counts_once(place):
    fill(place.cache / "uv" / "a", 2 * MB)
    os.link(place.cache / "uv" / "a", place.cache / "uv" / "b")
    assert size(place.cache) == 2 * MB
    assert size(place.cache / "none") == 0
