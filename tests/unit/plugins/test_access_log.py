"""What is read of Nginx's access log."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._nginx.access_log import (
    MOST_BYTES,
    Answers,
    answers_since,
    rejected_assets,
)

BEGAN = 1700000000
SERVERS = {"app1": "10.0.0.2:8000", "app2": "10.0.0.3:8000"}


def line(at: int, **changes: str) -> str:
    """A line of the log, so many seconds after the begin."""
    entry = {
        "time": datetime.fromtimestamp(BEGAN + at, UTC).isoformat(),
        "status": 200,
        "release": "one",
        "upstream": "10.0.0.2:8000",
        "upstream_status": "200",
        "header_seconds": "0.012",
        "response_seconds": "0.500",
        "agent": "curl",
    }
    return json.dumps({**entry, **changes}) + "\n"


def read(log: Path, *lines: str, since: float = 0) -> dict[tuple[str, str, bool], Answers]:
    """Write the lines, and read what came so many seconds after the begin or later."""
    log.write_text("".join(lines))
    return answers_since([log.with_name("missing"), log], SERVERS, BEGAN + since)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An empty log."""
    return tmp_path / "access.log"


def test_answers_count_by_server_release_and_who_asked(log: Path) -> None:
    assert read(
        log,
        line(1),
        line(1),
        line(2, header_seconds="0.0049"),
        line(2, upstream_status="500"),
        line(2, upstream_status="404", agent="production.fastapi-probe"),
        line(3, upstream="10.0.0.3:8000", release="two"),
        line(3, upstream="10.0.0.9:8000"),
    ) == {
        ("app1", "one", False): Answers(1, Counter({12: 2, 5: 1})),
        ("app1", "one", True): Answers(0, Counter({12: 1})),
        ("app2", "two", False): Answers(0, Counter({12: 1})),
    }


def test_each_try_counts_for_the_server_that_was_asked(log: Path) -> None:
    tries = line(
        1,
        upstream="10.0.0.2:8000, 10.0.0.3:8000",
        upstream_status="502, 200",
        header_seconds="-, 0.030",
        response_seconds="0.001, 0.031",
    )
    assert read(log, tries) == {
        ("app1", "", False): Answers(1),
        ("app2", "one", False): Answers(0, Counter({30: 1})),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"upstream": "", "upstream_status": "", "header_seconds": "", "response_seconds": ""},  # Nginx's own answer
        {"upstream_status": "-", "header_seconds": "-"},  # the client went away
        {"upstream_status": "101"},  # a WebSocket, whose time is that of its life
    ],
)
def test_what_is_no_answer_of_a_server_does_not_count(log: Path, changes: dict[str, str]) -> None:
    assert read(log, line(1, **changes)) == {}


def test_lines_that_are_cut_off_or_of_another_format_are_passed_over(log: Path) -> None:
    found = read(log, '10.0.0.9 - - "GET /" 200\n', "\n", line(1), "[1]\n", line(2)[:-20])
    assert found == {("app1", "one", False): Answers(0, Counter({12: 1}))}


@pytest.mark.parametrize("since", [0, 1, 17, 4999, 5000, 9999, 10000])
def test_only_what_came_since_is_read_of_a_long_log(log: Path, since: int) -> None:
    lines = [line(at, uri="/" * (at % 70)) for at in range(10000)]
    found = read(log, *lines, since=since)
    assert sum(answers.times.total() for answers in found.values()) == 10000 - since


def test_lines_out_of_order_within_the_time_that_workers_keep_them_are_found(log: Path) -> None:
    late = [line(at) for at in range(40, 60)] + [line(at) for at in range(50, 54)] + [line(60)]
    (answers,) = read(log, *late, since=51).values()
    assert answers.times.total() == 9 + 3 + 1


def rejected(root: Path, *lines: str) -> dict[str, dict[str, Any]]:
    """What is read of the last 60 seconds of this log, of which the last line is 100 s after the begin."""
    log = root / "var/log/nginx/access.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(lines))
    return rejected_assets(root, 60, BEGAN + 100)


def test_rejected_files_of_pages_are_told_by_folder(tmp_path: Path) -> None:
    above = {"rate_limit": "REJECTED", "connection_limit": "PASSED"}
    assert rejected(
        tmp_path,
        line(39, uri="/old/app.js", **above),
        line(50, uri="/static/app.js?v=1", **above),
        line(60, uri="/static/shop.css", rate_limit="PASSED", connection_limit="REJECTED"),
        line(60, uri="/favicon.ico", **above),
        line(60, uri="/api/orders", **above),
        line(60, uri="/static/late.js", rate_limit="PASSED", connection_limit="PASSED", agent="REJECTED"),
        line(60, uri="/static/\u001b[31m.js", **above),
        "cut off REJECTED",
    ) == {
        "/favicon.ico": {"count": 1, "path": "/favicon.ico"},
        "/static/": {"count": 2, "path": "/static/shop.css"},
    }


def test_no_more_than_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    above = line(90, uri="/static/app.js", rate_limit="REJECTED")
    other = line(90, uri="/static/app.js")
    assert rejected(tmp_path, above, other * (MOST_BYTES // len(other) + 1)) == {}
    assert rejected(tmp_path, other * (MOST_BYTES // len(other) + 1), above)["/static/"]["count"] == 1
    assert rejected_assets(tmp_path / "none", 60, BEGAN) == {}
