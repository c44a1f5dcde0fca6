"""What the probe of a host makes of the lines of its client and of the marks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._deploy.probing import (
    MOST_FAILURES,
    Probe,
    percentile,
    summarise,
)
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.modules.probe import problem_of

LINES = [
    "100.000 1700000000.000 4.0 200 - one",
    "100.050 1700000000.050 6.0 200 again one",
    "100.120 1700000000.120 80.0 502 - one",
    "100.310 1700000000.310 5.0 200 - two",
    "100.300 1700000000.300 400.0 timeout - -",
]


@dataclass(frozen=True)
class FakeHost(Host):
    """A host of which the units are a set of names."""

    active: set[str] = field(default_factory=set)

    def systemctl(self, *arguments: str, timeout: float = 60) -> tuple[bool, str]:
        if arguments[0] == "stop":
            self.active.discard(arguments[1])
        return arguments[1] in self.active, ""


def test_the_summary() -> None:
    assert summarise(LINES) == {
        "began": 1700000000.0,
        "seconds": 0.7,
        "requests": 5,
        "failed": 2,
        "limited": 0,
        "again": 1,
        "kinds": {"200": 3, "502": 1, "timeout": 1},
        "failed_kinds": {"502": 1, "timeout": 1},
        "p50_ms": 6.0,
        "p99_ms": 400.0,
        "longest_ms": 400.0,
        "releases": ["one", "", "two"],
        "buckets": [
            [0, 0, [2, 0, 0], [4.0, 6.0]],
            [1, 1, [1, 0, 0], [80.0]],
            [2, 1, [0, 1, 0], [400.0]],
            [3, 0, [0, 0, 1], [5.0]],
        ],
        "failures": [
            {"at": 1700000000.12, "ms": 80.0, "kind": "502", "release": "one"},
            {"at": 1700000000.3, "ms": 400.0, "kind": "timeout", "release": ""},
        ],
    }


def test_a_wall_clock_that_is_set_moves_nothing() -> None:
    lines = ["100.0 1700000000.0 1.0 200 - one", "101.0 1600000000.0 1.0 500 - one"]
    seen = summarise(lines)
    assert seen["seconds"] == 1.001
    assert [failure["at"] for failure in seen["failures"]] == [1700000001.0]


def test_a_line_that_was_cut_off_is_left_out() -> None:
    assert summarise([*LINES, "100.4 17000", ""])["requests"] == len(LINES)


def test_no_lines() -> None:
    assert summarise([]) == {"requests": 0, "failed": 0, "limited": 0}


def test_a_day_of_failures_stays_bounded() -> None:
    lines = [f"{100 + number / 20} {number / 20} 1.0 502 - one" for number in range(3000)]
    seen = summarise(lines)
    assert seen["failed"] == 3000
    assert len(seen["failures"]) == MOST_FAILURES
    assert len(seen["buckets"]) <= 1501


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 50), (0.501, 51), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_percentiles_are_nearest_rank(share: float, expected: int) -> None:
    assert percentile(list(range(1, 101)), share) == expected
    assert percentile([], share) == 0


def test_stop_returns_what_was_seen_and_leaves_nothing(tmp_path: Path) -> None:
    host = FakeHost(root=tmp_path)
    probe = Probe("shop", host)
    host.active.add(probe.unit)
    probe.folder.mkdir(parents=True)
    (probe.folder / "requests").write_text("\n".join(LINES))
    (probe.folder / "about.json").write_text(json.dumps({"domain": "shop.example.com", "path": "/", "rate": 20}))
    seen = probe.stop([{"name": "switch", "at": 1700000002.5}], ahead=2.25)
    assert seen["events"] == [{"name": "switch", "at": 1700000000.25}], "by the clock of this host"
    assert (seen["domain"], seen["complete"], seen["requests"]) == ("shop.example.com", True, 5)
    assert not probe.folder.exists()
    assert not host.active


def test_a_probe_that_ended_by_itself_is_not_complete(tmp_path: Path) -> None:
    probe = Probe("shop", FakeHost(root=tmp_path))
    probe.folder.mkdir(parents=True)
    (probe.folder / "requests").write_text("\n".join(LINES))
    assert probe.stop()["complete"] is False


def test_without_a_probe_there_is_nothing_to_stop(tmp_path: Path) -> None:
    probe = Probe("shop", FakeHost(root=tmp_path))
    assert probe.stop() == {}
    assert not probe.folder.exists()


GOOD = {
    "name": "shop",
    "state": "started",
    "domain": "shop.example.com",
    "path": "/readyz",
    "rate": 20,
    "timeout": 10,
    "max_duration": 1800,
    "address": "127.0.0.1",
    "port": 443,
    "release_header": "X-Release",
}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({}, ""),
        ({"domain": "*.example.com"}, ""),
        ({"address": "::1", "domain": "2001:db8::5"}, ""),
        ({"rate": 201}, "rate is 201; write a whole number from 1 to 200."),
        ({"rate": 0}, "rate is 0"),
        ({"max_duration": 7201}, "max_duration is 7201"),
        ({"path": "/a\r\nX: 1"}, "path is"),
        ({"path": "readyz"}, "write a path such as /readyz."),
        ({"domain": "shop example"}, "domain is"),
        ({"name": "../shop"}, "name is"),
        ({"release_header": "X-Release: 1"}, "release_header is"),
        ({"address": "localhost"}, "write an IP address"),
        ({"state": "stopped", "domain": ""}, ""),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_sentence(change: dict[str, Any], part: str) -> None:
    problem = problem_of({**GOOD, **change})
    assert part in problem
    assert bool(problem) == bool(part)


# Whose answer it was


def test_an_answer_that_is_not_the_apps_is_never_served() -> None:
    seen = summarise(["100.0 1700000000.0 1.0 404 - -", "100.1 1700000000.1 1.0 200 - one"])
    assert (seen["requests"], seen["failed"], seen["failed_kinds"]) == (2, 1, {"404": 1})


def test_what_the_rate_limit_of_nginx_refuses_is_in_no_figure_but_its_own() -> None:
    refused = [f"{100 + number / 20} {1700000000 + number / 20} 1.0 429 - -" for number in range(1692)]
    seen = summarise([*LINES, *refused])
    assert seen == summarise(LINES) | {"limited": 1692}
    assert summarise(refused) == {"requests": 0, "failed": 0, "limited": 1692}


def test_the_apps_own_429_is_an_answer_of_the_app() -> None:
    seen = summarise(["100.0 1700000000.0 1.0 429 - one"])
    assert (seen["requests"], seen["failed"], seen["limited"], seen["kinds"]) == (1, 0, 0, {"429": 1})
