"""What the history of an app says of a deploy that failed."""

from __future__ import annotations

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._deploy.history import Event, left_by_failure

EIGHT = 1772352000.0  # 2026-03-01, 08:00:00 UTC


def at(minute: int, event: str, release: str, previous: str = "") -> Event:
    return Event(f"2026-03-01T08:{minute:02}:00+00:00", event, release, previous)


GOOD = [at(0, "tried", "one"), at(1, "live", "one")]
WITHDRAWN = [*GOOD, at(10, "tried", "two", "one"), at(11, "live", "one", "two"), at(12, "failed", "two", "one")]
NEVER_LIVE = [*GOOD, at(12, "failed", "two", "one")]


@pytest.mark.parametrize("events", [WITHDRAWN, NEVER_LIVE, [at(12, "failed", "two")]])
def test_what_a_deploy_that_failed_has_written_stays(events: list[Event]) -> None:
    assert left_by_failure(events, EIGHT + 9.5 * 60) == "two"


@pytest.mark.parametrize(
    ("events", "minute"),
    [
        (WITHDRAWN, 0.9),  # by the deploy before it
        (WITHDRAWN, 20),  # by a run after it
        ([*WITHDRAWN, at(20, "live", "three", "one")], 9.5),
        ([*WITHDRAWN, at(20, "reloaded", "one")], 9.5),
        (GOOD, 0.5),
        ([], 9.5),
    ],
    ids=["not changed", "changed since", "deployed since", "reloaded since", "good", "none"],
)
def test_what_others_have_written_is_not_the_fault_of_a_failure(events: list[Event], minute: float) -> None:
    assert left_by_failure(events, EIGHT + minute * 60) == ""
