# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The releases that a host has: what each is and was, which one to go back to, and which ones may go."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._deploy.history import (
    FAILED,
    LIVE,
    TRIED,
    History,
    last_live,
    lived,
    verdicts,
)
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import DeployLock
from ansible_collections.production.fastapi.plugins.module_utils._deploy.running import alone, read_state
from ansible_collections.production.fastapi.plugins.module_utils._deploy.schema_record import SchemaRecord
from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import hold_if_free
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._release.marks import COMPLETE, UNDER_WAY, build_lock
from ansible_collections.production.fastapi.plugins.module_utils._release.public import keep_files

GONE = ".gone"


class ReleasesError(Exception):
    """One sentence for the user."""


@dataclass(frozen=True)
class Known:
    """What is known of a release; times are UTC in ISO 8601, and empty where nothing is known."""

    name: str
    source: str = ""
    dependencies: str = ""
    built_at: str = ""
    complete: bool = False  # its build has ended well
    live: bool = False
    since: str = ""  # when it was made live for the last time
    by: str = ""  # who did that, or who tried when it failed
    failed: bool = False  # a gate has refused it or its deploy has withdrawn it, and it was not live since
    interrupted: bool = False  # its deploy was killed, or still goes on
    runs: bool = False  # it does, or would with the host
    leftover: bool = False  # its build was killed, or is under way

    @property
    def last_used(self) -> str:
        """The later of when it was built and when it was last made live."""
        return max(self.built_at, self.since)


class Releases:
    """The releases of one app on a host, in `DIRECTORY/releases`."""

    def __init__(self, host: Host, name: str, directory: str) -> None:
        """`directory` is the app's, as `/srv/shop`."""
        self.host = host
        self.name = name
        self.directory = directory
        self.folder = host.at(f"{directory}/releases")
        self._read()

    def _read(self) -> None:
        state = read_state(self.host, self.name, f"{self.directory}/current")
        events = History(self.host.root, self.name).read()
        self.live = state.live
        was_live = last_live(events)
        self._lived = lived(events)
        said = verdicts(events)
        by = {event.release: event.by for event in events if said.get(event.release) == FAILED}
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        self.all: list[Known] = []
        for path in found:
            if not path.is_dir() or path.name.startswith("."):
                continue
            release = path.name
            made_live = was_live.get(release)
            described = _describe(path)
            self.all.append(
                Known(
                    name=release,
                    source=described.get("source", ""),
                    dependencies=described.get("dependencies", ""),
                    built_at=_time(path / COMPLETE),
                    complete=bool(described),
                    live=release == state.live,
                    since=made_live.at if made_live else "",
                    by=by.get(release) or (made_live.by if made_live else ""),
                    failed=said.get(release) == FAILED,
                    interrupted=said.get(release) == TRIED,
                    runs=release in state.present | state.enabled | {state.link},
                    leftover=not described and ((path / UNDER_WAY).exists() or not any(path.iterdir())),
                )
            )
        self.all.sort(key=lambda known: (known.last_used, known.name), reverse=True)

    @property
    def previous(self) -> str:
        """The release before: the last one that was live, is not live now, is complete, and was not withdrawn since.

        One whose deploy was killed does not count either, because nothing says that it works.
        """
        fit = {
            known.name
            for known in self.all
            if known.complete and not known.live and not known.failed and not known.interrupted
        }
        return next((release for release in self._lived if release in fit), "")

    def result(self) -> dict[str, object]:
        """What the module returns; the latest used release is first."""
        shown = [asdict(known) for known in self.all]
        for known in shown:
            del known["runs"], known["leftover"]
        return {"releases": shown, "live": self.live, "previous": self.previous, "table": self.table()}

    def choose(self, wanted: str = "", *, insist: bool = False) -> str:
        """The release to go back to: the one before, or the one whose name begins with `wanted`.

        Raises ReleasesError when there is none, or when nobody insists and a gate has refused it or it does not know
        what the database has.
        """
        chosen = self._find(wanted, insist=insist)
        unknown = SchemaRecord(self.host.root, self.name).read().unknown_to(chosen)
        if unknown and not insist:
            raise ReleasesError(
                f"Release {chosen} of {self.name} does not know revision {' and '.join(unknown)}, which the database"
                " has since a later release has migrated it; bring the database back first, or add -e insist=true if"
                " it works with it all the same."
            )
        return chosen

    def _find(self, wanted: str, *, insist: bool) -> str:
        if not wanted:
            # After a deploy that was killed, some servers have switched and some not; all go back to what it found.
            lock = DeployLock(self.name, self.host.root).read()
            found_live = lock.before if lock else ""
            if any(known.name == found_live and known.complete and not known.failed for known in self.all):
                return found_live
            if not self.previous:
                raise ReleasesError(f"There is no release of {self.name} to go back to: {self._there()}.")
            return self.previous
        complete = [known for known in self.all if known.complete]
        found = [known for known in complete if known.name == wanted]
        found = found or [known for known in complete if known.name.startswith(wanted)]
        if len(found) > 1:
            names = ", ".join(known.name for known in found)
            raise ReleasesError(f"Several releases of {self.name} begin with {wanted}: {names}; write more of it.")
        if not found:
            raise ReleasesError(f"There is no release {wanted} of {self.name}: {self._there()}.")
        if found[0].failed and not insist:
            raise ReleasesError(
                f"Release {found[0].name} of {self.name} failed when it was to become live; look at why in the history"
                " and its log, and add -e insist=true to try it again."
            )
        if found[0].interrupted and not found[0].live and not insist:
            raise ReleasesError(
                f"The deploy of release {found[0].name} of {self.name} was interrupted, so nothing says that it works;"
                " deploy it again, or add -e insist=true to make it live all the same."
            )
        return found[0].name

    def _there(self) -> str:
        complete = [known for known in self.all if known.complete]
        listed = ", ".join(f"{known.name}{' (live)' if known.live else ''}" for known in complete)
        return f"the host has {listed}" if listed else "the host has none"

    def end(self, release: str, outcome: str, *, before: str = "", by: str = "", reason: str = "") -> bool:
        """Record how the deploy of a release ended, LIVE or FAILED; returns whether that is news.

        `before` is the release that was live when it began, empty for none. A release that went live without a deploy
        has its line already, and the release that a deploy went back to has not failed. Raises OSError when the history
        cannot be written.
        """
        with alone(self.host, self.name):
            history = History(self.host.root, self.name)
            said = verdicts(history.read()).get(release)
            # What had failed and could not go back is good once its deploy has ended well after all.
            news = said in {TRIED, FAILED} if outcome == LIVE else said != FAILED and release != before
            if news:
                history.add(outcome, release, previous=before, by=by, reason=reason)
        return news

    def surplus(self, keep: int, *, building: bool) -> list[str]:
        """The releases that may go, the oldest first.

        The `keep` latest used ones stay, and so do the live one, the one before, and whatever runs or is to start with
        the host. What killed builds have left goes, unless somebody is `building`.
        """
        held = {self.live, self.previous} | {known.name for known in self.all if known.runs}
        complete = [known.name for known in self.all if known.complete]
        stay = [name for name in complete if name in held]
        stay += [name for name in complete if name not in held][: max(0, keep - len(stay))]
        goes = [name for name in complete if name not in stay]
        if not building:
            goes += [known.name for known in self.all if known.leftover and known.name not in held]
        return goes[::-1]

    def prune(self, keep: int) -> list[str]:
        """Remove what may go; returns the names."""
        with alone(self.host, self.name), self._builds_end() as free:
            self._read()
            names = self.surplus(keep, building=not free)
            for name in names:
                # Out of sight in one step: when this is killed, nobody takes the rest for a release.
                (self.folder / name).rename(self.folder / f".{name}{GONE}")
            for path in self.folder.glob(f".*{GONE}"):
                shutil.rmtree(path)
            for name in names:
                shutil.rmtree(self.folder.parent / "public" / "releases" / name, ignore_errors=True)
            if names:
                keep_files(self.folder.parent / "public")
            self._read()
        return names

    def _builds_end(self) -> contextlib.AbstractContextManager[bool]:
        """Hold off builds unless one is under way; yields whether none is. `Release.build` takes the same lock."""
        return hold_if_free(build_lock(self.name), f"removes releases of {self.name}", root=self.host.root)

    def table(self) -> list[str]:
        """The releases for people, a line each, under a line of titles."""
        titles = ("RELEASE", "STATE", "BUILT", "LIVE SINCE", "BY", "SOURCE")
        rows = [titles] + [
            (known.name, self._state_of(known), _short(known.built_at), _short(known.since), known.by, known.source)
            for known in self.all
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

    def _state_of(self, known: Known) -> str:
        if known.live:
            return "live"
        if not known.complete:
            return "incomplete"
        if known.failed:
            return "failed"
        if known.interrupted:
            return "interrupted"
        return "before" if known.name == self.previous else ""


def _describe(path: Path) -> dict[str, str]:
    try:
        known = json.loads((path / COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _time(file: Path) -> str:
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except OSError:
        return ""


def _short(moment: str) -> str:
    return moment[:16].replace("T", " ")
