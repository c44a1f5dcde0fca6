"""What an app saves for Nginx to serve: whose it is, and what root does not follow on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account
from ansible_collections.production.fastapi.plugins.module_utils._release.media import open_media
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

APP = Account("shop", 64101, 64101)
WEB = 64102


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    APP.own(folder)
    return folder


def of(path: Path) -> tuple[int, int, int]:
    known = path.lstat()
    return known.st_uid, known.st_gid, known.st_mode & 0o7777


def test_the_folder_is_made_and_what_is_new_in_it_is_the_web_server_s(shared: Path) -> None:
    assert open_media(shared, "data/uploads", APP, WEB, check=True) is True
    assert list(shared.iterdir()) == []
    assert open_media(shared, "data/uploads", APP, WEB, check=False) is True
    assert of(shared / "data" / "uploads") == (APP.uid, WEB, 0o2750)
    (shared / "data" / "uploads" / "new").touch()
    assert (shared / "data" / "uploads" / "new").stat().st_gid == WEB
    assert open_media(shared, "data/uploads", APP, WEB, check=False) is False


def test_what_is_there_already_is_given_to_the_web_server(shared: Path) -> None:
    (shared / "uploads" / "2026").mkdir(parents=True)
    (shared / "uploads" / "2026" / "a").touch(mode=0o640)
    (shared / "secret").touch(mode=0o640)
    APP.own(shared)
    open_media(shared, "uploads", APP, WEB, check=False)
    assert of(shared / "uploads" / "2026") == (APP.uid, WEB, 0o2755)
    assert of(shared / "uploads" / "2026" / "a") == (APP.uid, WEB, 0o640)
    assert of(shared / "secret")[1] == APP.gid


def test_no_link_of_the_app_leads_root_anywhere(shared: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch(mode=0o600)
    (shared / "uploads").mkdir()
    (shared / "uploads" / "link").symlink_to(other)
    (shared / "uploads" / "file").symlink_to(other / "file")
    APP.own(shared)
    open_media(shared, "uploads", APP, WEB, check=False)
    assert of(other / "file") == (0, 0, 0o600)
    assert of(other)[1] == 0
    (shared / "elsewhere").symlink_to(other)
    for path in ("elsewhere", "elsewhere/inside"):
        with pytest.raises(ReleaseError, match=r"^app_static: .*/elsewhere is not a folder \(Not a directory\); move"):
            open_media(shared, path, APP, WEB, check=False)
    assert list(other.iterdir()) == [other / "file"]


def test_a_folder_or_a_file_of_somebody_else_stays(shared: Path) -> None:
    (shared / "uploads").mkdir()
    (shared / "uploads" / "roots").touch(mode=0o600)
    with pytest.raises(ReleaseError, match="uploads does not belong to the app"):
        open_media(shared, "uploads", APP, WEB, check=False)
    os.chown(shared / "uploads", APP.uid, APP.gid)
    open_media(shared, "uploads", APP, WEB, check=False)
    assert of(shared / "uploads" / "roots") == (0, 0, 0o600)
