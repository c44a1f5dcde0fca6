"""A page of one release finds its files, whichever release the process that is asked for them has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Start

Ask = Callable[..., Any]
KEEPS = """
Worker.around_app = staticmethod(
    partial(fresh(Path(__file__).with_name("kept_files.py")).KeptFiles, folders={"/assets/": "%s"})
)
"""


@pytest.fixture
def ask(start: Start, tmp_path: Path) -> Ask:
    kept = tmp_path / "public" / "kept"
    (kept / "js").mkdir(parents=True)
    (kept / "js" / "new-1.js").write_text("new" * 100_000)
    (kept / "style.css").write_text("a {}")
    (kept / "pages").mkdir()
    for name in ("own.js", "page.html"):
        (kept / "pages" / name).write_text("kept")
    (tmp_path / "public" / "secret").write_text("secret")
    return start(gunicorn_extra_config=KEEPS % kept, environment={"PRODUCTION_FASTAPI_RELEASE": "old"}).ask


@pytest.mark.every_version
def test_what_the_app_does_not_have_is_answered_by_the_kept_file(ask: Ask) -> None:
    found = ask("/assets/js/new-1.js")
    assert (found.status, found.text) == (200, "new" * 100_000)
    assert found.headers.get_all("X-Release") == ["old"]
    assert found.getheader("content-type") == "text/javascript; charset=utf-8"
    assert found.getheader("cache-control") == "public, max-age=31536000, immutable"
    head = ask("/assets/style.css", method="HEAD")
    assert (head.status, head.getheader("content-length")) == (200, "4")


def test_an_answer_of_the_app_stays(ask: Ask) -> None:
    for path, status in {
        "/assets/app.js": 200,  # the app has it
        "/assets/none.js": 404,  # nobody has it
        "/assets/": 404,
        "/assets/js": 404,
        "/style.css": 404,
        "/assets/../secret": 404,
        "/assets/%2e%2e/secret": 404,
        "/assets/js/..%2f..%2f..%2fsecret": 404,
        "/assets//style.css": 404,
        "/assets/a%00b": 404,
        "/assets/broken.js": 500,
    }.items():
        found = ask(path)
        assert (path, found.status) == (path, status)
        assert "secret" not in found.text
    assert ask("/assets/app.js").text == '"of the app"'
    assert ask("/assets/style.css", method="POST").status in (404, 405)


def test_a_page_is_no_script(ask: Ask) -> None:
    """A front end whose app answers its page for each unknown path."""
    assert ask("/assets/pages/own.js").text == "kept"
    assert ask("/assets/pages/none.js").text == "<p>page"
    assert ask("/assets/pages/page.html").text == "<p>page"
