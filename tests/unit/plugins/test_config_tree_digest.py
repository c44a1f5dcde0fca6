"""A digest says that a host has what is wanted; whatever differs makes it another one, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.digest import digest_of, digests_on
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import with_generation
from ansible_collections.production.fastapi.tests.unit.plugins import config_tree_helpers as helpers

KEY = "a random value"
FILES = [helpers.file("/etc/demo/a", "is @GENERATION@\n"), helpers.file("/etc/demo/b", mode=0o600, secret=True)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host that has these files."""
    helpers.run(helpers.host(tmp_path), *FILES, inventory="production")
    return tmp_path


def wanted(inventory: str = "production", key: str = KEY) -> str:
    generation, written = with_generation(FILES)
    return digest_of(written, generation, inventory, key)


def test_a_host_that_has_what_is_wanted(root: Path) -> None:
    assert digests_on(root, KEY) == {"test": wanted()}
    assert not helpers.run(root, *FILES, inventory="production").changed


def test_the_key_and_the_inventory_are_part_of_it(root: Path) -> None:
    assert digests_on(root, "another one") != {"test": wanted()}
    assert digests_on(root, KEY) != {"test": wanted(inventory="staging")}


def test_without_a_key_there_is_none(root: Path) -> None:
    assert digests_on(root, "") == {"test": ""}


def swap_for_a_link(place: Path) -> None:
    place.rename(place.with_name("other"))
    place.symlink_to("other")


@pytest.mark.parametrize(
    "change",
    [
        lambda place: place.write_text("changed"),
        lambda place: place.chmod(0o666),
        lambda place: place.unlink(),
        swap_for_a_link,
    ],
)
def test_a_file_that_is_not_as_it_was_written(root: Path, change: Callable[[Path], None]) -> None:
    change(root / "etc/demo/a")
    assert digests_on(root, KEY)["test"] != wanted()


@pytest.mark.parametrize("left", ["journal.json", "committed.json", "stage"])
def test_a_transaction_that_was_killed_has_none(root: Path, left: str) -> None:
    helpers.put(root, f"{helpers.STATE}/test/{left}", "{}")
    helpers.put(root, f"{helpers.STATE}/first/{left}", "{}")
    assert digests_on(root, KEY) == {"first": "", "test": ""}


def test_a_damaged_manifest_has_none(root: Path) -> None:
    helpers.put(root, f"{helpers.STATE}/test.json", '{"files": []}')
    assert digests_on(root, KEY) == {"test": ""}
