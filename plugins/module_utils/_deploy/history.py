# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has happened to the releases of an app on a host: an event a line, as JSON, the newest last."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._host.record_file import replace_record
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE

KEPT = 200
REASON_LENGTH = 500

LIVE = "live"
FAILED = "failed"
TRIED = "tried"
RELOADED = "reloaded"
RESTARTED = "restarted"


@dataclass(frozen=True)
class Event:
    """One thing that happened to a release."""

    at: str  # UTC, as 2026-03-01T09:30:00+00:00
    # LIVE, TRIED (it serves while its deploy goes on, whose end adds LIVE or FAILED), FAILED (a gate has refused it, or
    # its deploy has withdrawn it), RELOADED or RESTARTED.
    event: str
    release: str
    previous: str = ""  # the release that was live before, empty when none was
    by: str = ""  # who did it and from where, as anna@laptop
    reason: str = ""


class History:
    """The file of an app; it outlives the releases that it tells of."""

    def __init__(self, root: Path, name: str) -> None:
        """`root` is that of the host, `name` the app's."""
        self.path = root / STATE / name / "history.jsonl"

    def read(self) -> list[Event]:
        """All events, the oldest first; a line that is none is passed over."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return [event for line in lines if (event := _parse(line))]

    def add(self, event: str, release: str, *, previous: str = "", by: str = "", reason: str = "") -> None:
        """Append an event of now, and forget all but the last `KEPT`.

        Raises OSError when it cannot be written; the file is then as it was, since a new one takes its place at once.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        new = Event(now, event, release, previous, by, reason[:REASON_LENGTH])
        lines = [json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in [*self.read(), new][-KEPT:]]
        replace_record(self.path, "".join(lines))


def last_live(events: Sequence[Event]) -> dict[str, Event]:
    """Each release that has ever served, with the event that made it so for the last time; the latest first."""
    found: dict[str, Event] = {}
    for event in reversed(events):
        if event.event in {LIVE, TRIED}:
            found.setdefault(event.release, event)
    return found


def lived(events: Sequence[Event]) -> list[str]:
    """The releases that were ever live, the latest first.

    The one that an event found is among them: a host may have served before it had a history.
    """
    names = (
        name for event in reversed(events) if event.event in {LIVE, TRIED} for name in (event.release, event.previous)
    )
    return list(dict.fromkeys(filter(None, names)))


def verdicts(events: Sequence[Event]) -> dict[str, str]:
    """What the history says of each release last: LIVE, TRIED or FAILED.

    TRIED without a deploy that goes on is that of a deploy which was killed.
    """
    return {event.release: event.event for event in events if event.event in {LIVE, TRIED, FAILED}}


def ended_well(events: Sequence[Event], release: str) -> bool:
    """Whether nothing is known against a release: its last deploy neither failed nor was killed."""
    return verdicts(events).get(release, LIVE) == LIVE


def left_by_failure(events: Sequence[Event], written: float) -> str:
    """The release whose deploy failed and has left its configuration on disk; empty when none has.

    `written`, in seconds since 1970, is when the configuration of the app was last written.
    """
    if not events or events[-1].event != FAILED:
        return ""
    failed = events[-1]
    before = next((event for event in reversed(events[:-1]) if not _belongs(event, failed)), None)
    # Times of events are whole seconds, and a deploy takes longer than that.
    begins = datetime.fromisoformat(before.at).timestamp() + 1 if before else 0.0
    return failed.release if begins < written < datetime.fromisoformat(failed.at).timestamp() + 1 else ""


def _belongs(event: Event, failed: Event) -> bool:
    """Whether an event is one of the deploy that failed: its switch, and the way back."""
    tried = event.event == TRIED and event.release == failed.release
    return tried or (event.event == LIVE and event.previous == failed.release)


def _parse(line: str) -> Event | None:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        known = {field.name for field in fields(Event)}
        return Event(**{key: str(value) for key, value in json.loads(line).items() if key in known})
    return None
