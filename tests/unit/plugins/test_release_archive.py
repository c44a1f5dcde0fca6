"""An archive at a URL: fetched by a program of its own with what the URL says, and only the one that is meant."""

from __future__ import annotations

import base64
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release.archive import fetched
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account, Settings
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

CHECKSUM = "sha256:" + hashlib.sha256(b"archive").hexdigest()


class Answer(http.server.BaseHTTPRequestHandler):
    """Has the archive for the bot alone."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "Basic " + base64.b64encode(b"bot:s3cr3t!").decode()
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(b"archive")

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """Where the archive is."""
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}/x.zip"
        running.shutdown()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place("hello", tmp_path / "srv", tmp_path / "srv" / "releases" / "one", Account(None))
    made.prepare()
    return made


def test_it_is_fetched_with_the_credentials_of_its_url(server: str, place: Place) -> None:
    with fetched(f"http://bot:s3cr3t%21@{server}", CHECKSUM, place, Settings()) as archive:
        assert archive.read_bytes() == b"archive"
    assert not archive.exists()
    assert list(place.outside(place.source).iterdir()) == []


def test_a_server_that_refuses_is_named_without_the_password(server: str, place: Place) -> None:
    with (
        pytest.raises(ReleaseError, match=r"^app_source\.archive: .* cannot be fetched: HTTP Error 401") as refused,
        fetched(f"http://bot:wr0ng@{server}", CHECKSUM, place, Settings()),
    ):
        pytest.fail("it was fetched")
    assert "wr0ng" not in f"{refused.value}"


def test_another_archive_than_the_one_that_is_meant_is_refused(server: str, place: Place) -> None:
    with (
        pytest.raises(ReleaseError, match=rf"^app_source\.checksum: the archive has {CHECKSUM};"),
        fetched(f"http://bot:s3cr3t%21@{server}", "sha256:" + "0" * 64, place, Settings()),
    ):
        pytest.fail("it was taken")


def test_a_link_in_its_place_is_not_followed(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_bytes(b"archive")
    part = place.outside(place.source) / "archive"
    run = "ansible_collections.production.fastapi.plugins.module_utils._release.archive.run"
    monkeypatch.setattr(run, lambda *_words, **_options: (part.symlink_to(tmp_path / "shadow"), (0, ""))[1])
    with (
        pytest.raises(ReleaseError, match="what came is not a file"),
        fetched("http://files.example.com/x.zip", CHECKSUM, place, Settings()),
    ):
        pytest.fail("it was followed")


def test_a_proxy_is_asked(server: str, place: Place) -> None:
    with fetched(
        "http://bot:s3cr3t%21@files.invalid/x.zip", CHECKSUM, place, Settings(proxy=f"http://{server}")
    ) as got:
        assert got.read_bytes() == b"archive"
