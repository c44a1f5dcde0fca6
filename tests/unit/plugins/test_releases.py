"""Which releases a host has, which one to go back to, and which ones may go."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._deploy.history import KEPT, History
from ansible_collections.production.fastapi.plugins.module_utils._deploy.listing import Releases, ReleasesError
from ansible_collections.production.fastapi.plugins.module_utils._deploy.schema_record import SchemaRecord
from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import hold
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._release.marks import build_lock


@dataclass(frozen=True)
class Quiet(Host):
    """A host on which these instances run."""

    running: tuple[str, ...] = ()

    def systemctl(self, *arguments: str, timeout: float = 60) -> tuple[bool, str]:
        return True, "".join(f"shop@{release}.service loaded active running\n" for release in self.running)


class Server:
    """A host with releases, in a folder; the test says what was built and what happened."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "srv/shop/releases"
        self.folder.mkdir(parents=True)
        self.history = History(root, "shop")
        self.clock = 1_700_000_000
        self.live = ""

    def built(self, *releases: str) -> None:
        for release in releases:
            self.clock += 60
            (self.folder / release).mkdir()
            file = self.folder / release / "release.json"
            file.write_text(json.dumps({"source": f"source of {release}", "dependencies": "uv.lock"}))
            os.utime(file, (self.clock, self.clock))

    def went_live(self, *releases: str) -> None:
        for release in releases:
            self.history.add("live", release, previous=self.live, by="anna@laptop")
            self.live = release
            link = self.root / "srv/shop/current"
            link.unlink(missing_ok=True)
            link.symlink_to(f"releases/{release}")

    def killed_build(self, release: str) -> None:
        (self.folder / release).mkdir()
        (self.folder / release / "release.json.building").touch()

    @property
    def releases(self) -> Releases:
        return Releases(Quiet(self.root, (self.live,) if self.live else ()), "shop", "/srv/shop")

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


# The list


def test_what_is_said_of_a_release(server: Server) -> None:
    server.built("a1-1", "b2-2")
    server.went_live("a1-1")
    server.history.add("failed", "b2-2", previous="a1-1", by="bert@desk", reason="Release b2-2 could not start.")
    server.killed_build("c3-3")
    told = {known["name"]: known for known in server.releases.result()["releases"]}  # type: ignore[attr-defined]
    assert set(told["a1-1"]) == {
        *("name", "source", "dependencies", "built_at", "complete", "live", "since", "by", "failed", "interrupted"),
    }
    assert told["a1-1"]["built_at"] == "2023-11-14T22:14:20+00:00"
    assert told["a1-1"]["since"].endswith("+00:00")
    seen = {name: (known["complete"], known["live"], known["failed"], known["by"]) for name, known in told.items()}
    assert seen == {
        "a1-1": (True, True, False, "anna@laptop"),
        "b2-2": (True, False, True, "bert@desk"),
        "c3-3": (False, False, False, ""),
    }


def test_the_table(server: Server) -> None:
    server.built("a1-1", "b2-2")
    server.went_live("a1-1", "b2-2")
    titles, first, second = server.releases.table()
    assert titles.split("  ")[0] == "RELEASE"
    assert first.split()[:2] == ["b2-2", "live"]
    assert second.split()[:2] == ["a1-1", "before"]
    assert second.endswith("anna@laptop  source of a1-1")


def test_a_host_without_releases(tmp_path: Path) -> None:
    releases = Releases(Quiet(tmp_path), "shop", "/srv/shop")
    assert (releases.live, releases.previous, releases.all) == ("", "", [])
    assert releases.prune(1) == []


# The way back


def test_the_release_before(server: Server) -> None:
    server.built("a", "b", "c")
    server.went_live("a", "b", "c")
    assert server.releases.previous == "b"
    server.went_live("b")
    assert server.releases.previous == "c"


def test_no_way_back_to_what_failed_was_removed_or_was_never_live(server: Server) -> None:
    server.built("a", "b", "d", "e")
    server.went_live("a", "gone", "b", "d")
    server.history.add("failed", "b")
    assert server.releases.previous == "a"


def test_what_was_live_again_after_a_failure_is_good(server: Server) -> None:
    server.built("a", "b")
    server.went_live("a", "b")
    server.history.add("failed", "a")
    assert server.releases.previous == ""
    server.went_live("a", "b")
    assert server.releases.previous == "a"


def test_the_first_event_of_a_host_knows_what_it_found(server: Server) -> None:
    server.built("old", "new")
    server.live = "old"
    server.went_live("new")
    assert server.releases.previous == "old"


def test_nothing_to_go_back_to(server: Server) -> None:
    server.built("a")
    server.went_live("a")
    with pytest.raises(ReleasesError, match=r"There is no release of shop to go back to: the host has a \(live\)\."):
        server.releases.choose()


def test_by_name(server: Server) -> None:
    server.built("abc1-1", "abc2-2", "abc", "d")
    server.killed_build("ef")
    server.went_live("d")
    assert server.releases.choose("abc1") == "abc1-1"
    assert server.releases.choose("abc") == "abc"
    with pytest.raises(ReleasesError, match=r"Several releases of shop begin with ab: .*; write more of it"):
        server.releases.choose("ab")
    with pytest.raises(ReleasesError, match=r"There is no release ef of shop: the host has d \(live\), abc,"):
        server.releases.choose("ef")


def test_what_failed_needs_insisting(server: Server) -> None:
    server.built("a", "b")
    server.went_live("a")
    server.history.add("failed", "b")
    with pytest.raises(ReleasesError, match=r"Release b of shop failed when it was to become live.*-e insist=true"):
        server.releases.choose("b")
    assert server.releases.choose("b", insist=True) == "b"


def test_what_does_not_know_the_database_needs_insisting(server: Server) -> None:
    server.built("a", "b", "c")
    server.went_live("a", "b", "c")
    schema = SchemaRecord(server.root, "shop")
    assert schema.note("b", ["r1"], ["r1"])
    assert server.releases.choose() == "b"
    assert schema.note("c", ["r1", "r2"], ["r2"])
    for wanted in ("", "b"):
        with pytest.raises(ReleasesError, match=r"Release b of shop does not know revision r2, .*-e insist=true"):
            server.releases.choose(wanted)
    assert server.releases.choose("b", insist=True) == "b"
    assert server.releases.choose("a") == "a", "nothing is known of what it knows"
    assert schema.note("b", ["r1"], ["r1"]), "the database was brought back"
    assert server.releases.choose("b") == "b"


def test_a_record_that_is_none_holds_nobody_up(server: Server) -> None:
    record = SchemaRecord(server.root, "shop")
    record.path.parent.mkdir(parents=True)
    for text in ("", "[]", '{"heads": 1}', '{"heads": ["r1"], "known": []}'):
        record.path.write_text(text)
        assert record.read().unknown_to("a") == []
    assert record.note("a", ["r1"], ["r1"])
    assert not record.note("a", ["r1"], ["r1"])


# Removing


def test_the_oldest_go(server: Server) -> None:
    server.built("a", "b", "c", "d", "e")
    server.went_live("d", "e")
    assert server.releases.prune(3) == ["a", "b"]
    assert server.names() == ["c", "d", "e"]
    assert server.releases.prune(3) == []


def test_what_was_live_lately_is_not_old(server: Server) -> None:
    server.built("a", "b", "c", "d")
    server.went_live("a", "c", "d")
    server.releases.prune(3)
    assert server.names() == ["a", "c", "d"]


def test_the_live_one_and_the_one_before_stay_however_old(server: Server) -> None:
    server.built("a", "b", "c", "d")
    server.went_live("b", "a")
    server.releases.prune(1)
    assert server.names() == ["a", "b"]


def test_what_runs_or_would_start_with_the_host_stays(server: Server) -> None:
    server.built("a", "b", "c", "d")
    server.went_live("d")
    wants = server.root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "shop@a.service").touch()
    host = Quiet(server.root, ("d", "b"))
    Releases(host, "shop", "/srv/shop").prune(1)
    assert server.names() == ["a", "b", "d"]


def test_while_nothing_runs_the_link_says_what_stays(server: Server) -> None:
    server.built("a", "b", "c")
    server.went_live("a")
    Releases(Quiet(server.root), "shop", "/srv/shop").prune(1)
    assert "a" in server.names()


def test_what_killed_builds_and_killed_removals_left_goes(server: Server) -> None:
    server.built("a")
    server.went_live("a")
    server.killed_build("b")
    (server.folder / "killed-at-once").mkdir()
    (server.folder / ".old.gone" / "venv").mkdir(parents=True)
    assert sorted(server.releases.prune(5)) == ["b", "killed-at-once"]
    assert server.names() == ["a"]


def test_a_folder_of_somebody_else_stays(server: Server) -> None:
    (server.folder / "notes").mkdir()
    (server.folder / "notes" / "todo").touch()
    assert server.releases.prune(1) == []


def test_a_build_that_is_under_way_stays(server: Server) -> None:
    server.built("a", "b", "c")
    server.went_live("b", "c")
    server.killed_build("new")
    with hold(build_lock("shop"), "builds shop", root=server.releases.host.root):
        assert server.releases.prune(2) == ["a"]
    assert server.names() == ["b", "c", "new"]


# The history


def test_the_history_is_bounded_and_readable(server: Server) -> None:
    for number in range(KEPT + 3):
        server.history.add("live", f"r{number}")
    events = server.history.read()
    assert (len(events), events[0].release, events[-1].release) == (KEPT, "r3", f"r{KEPT + 2}")
    assert server.history.path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_is_no_event_is_passed_over(server: Server) -> None:
    server.history.add("live", "a")
    with server.history.path.open("a") as file:
        file.write('{"event": "li\n[]\n{"event": "live"}\n')
    server.history.add("live", "b")
    assert [event.release for event in server.history.read()] == ["a", "b"]
