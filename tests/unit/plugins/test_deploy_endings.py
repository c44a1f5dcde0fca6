"""Every way in which a deploy can end: what is live then, what the history says, what rollback takes, what is said.

Two servers, each with the real switch, history and lock in a folder of its own; `deploy` does what the steps of
`playbooks/steps` do with them, in their order.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.production.fastapi.plugins.module_utils._deploy.history import History, ended_well, verdicts
from ansible_collections.production.fastapi.plugins.module_utils._deploy.listing import Releases, ReleasesError
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import DeployLock, Lock, LockError
from ansible_collections.production.fastapi.plugins.module_utils._deploy.running import SwitchError
from ansible_collections.production.fastapi.plugins.module_utils._deploy.switching import Switch
from ansible_collections.production.fastapi.plugins.modules.releases import end as record_end
from ansible_collections.production.fastapi.plugins.plugin_utils.deploy_end import deploy_end
from conftest import examined
from test_switch import TIMERS, WANTS, FakeHost

STEPS = Path(__file__).parents[3] / "playbooks/steps/deploy"
PAGE = Path(__file__).parents[3] / "docs/architecture/deploy.md"
CONTROLLER = {"host": "laptop", "pid": "7"}


@dataclass
class Killed(Exception):  # noqa: N818
    """The playbook was killed; nothing after this happens."""


@dataclass
class Server:
    """A server with the releases zero, one and two built, of which zero and then one were deployed."""

    name: str
    host: FakeHost
    facts: dict[str, Any] = field(default_factory=dict)
    wishes: dict[str, Any] = field(default_factory=dict)
    taken: Lock | None = None  # by the deploy that goes on
    reached: bool = True

    @property
    def releases(self) -> Releases:
        return Releases(self.host, "shop", "/srv/shop")

    @property
    def lock(self) -> DeployLock:
        return DeployLock("shop", self.host.root)

    def switch(self, release: str, *, trial: bool, observe: float = 0) -> None:
        """The role's task; what it returns is registered, as what it refuses is."""
        deploy, current = self.taken.deploy if self.taken else "", "/srv/shop/current"
        try:
            switch = Switch(self.host, "shop", release, current=current, deploy=deploy, trial=trial, observe=observe)
            self.facts["gunicorn_switch"] = switch.run()
        except SwitchError as error:
            self.facts["gunicorn_switch"] = error.result | {"failed": True}
            raise

    def rollback(self) -> str:
        """What the playbook rollback would choose, or the words in which it refuses."""
        try:
            return self.releases.choose()
        except ReleasesError as error:
            return str(error)

    def state(self) -> tuple[str, str, str]:
        """What is live, what the history says of release two, and what rollback takes."""
        said = verdicts(History(self.host.root, "shop").read()).get("two", "")
        return self.releases.live, said, self.rollback()


class App:
    """The servers of an app and a deploy of it."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers
        self.message = ""

    def deploy(self, release: str, goes_wrong: str = "") -> None:
        """Deploy, until `goes_wrong` at a step; `killed ...` is where the playbook is killed."""
        troubles: list[str] = []
        for server in self.servers:
            live = server.releases.live
            changes = live != release or not ended_well(History(server.host.root, "shop").read(), live)
            server.facts = {}
            server.wishes = {"app": "shop", "release": release, "live": live, "changes": changes}
            try:
                server.taken = server.lock.take("anna@laptop", release, CONTROLLER, 900, before=live)
            except LockError as error:
                troubles.append(f"{server.name}, Acquire the deploy lock: {error}")
        if troubles:
            self._end(release, troubles)
            return
        try:
            if goes_wrong == "killed before the switch":
                raise Killed
            if goes_wrong in {"build", "migration"}:
                troubles.append(f"app1, Run the {goes_wrong}: it ended with exit code 7.")
            else:
                self._switch(release, goes_wrong, troubles)
            if not troubles and goes_wrong in {"verify", "budget", "after_switch", "the way back"}:
                troubles.append(f"app1, {goes_wrong}: something went wrong.")
            if goes_wrong == "a server is lost":
                self.servers[1].reached = False
                troubles.append("app2: its connection was lost.")
            if goes_wrong == "the way back":
                self.servers[0].host.broken.add("shop@one.service")
            if troubles:
                self._back(troubles)
            if goes_wrong == "killed before the end is recorded":
                raise Killed
        except Killed:
            for server in self.servers:
                server.taken = None
            return
        self._end(release, troubles)

    def _switch(self, release: str, goes_wrong: str, troubles: list[str]) -> None:
        for number, server in enumerate(self.servers):
            if (goes_wrong, number) in {("start", 0), ("a later batch", 1)}:
                server.host.broken.add(f"shop@{release}.service")
            if (goes_wrong, number) == ("observe", 0):
                server.host.lives[:] = ["ActiveState=active\nMainPID=7\n", "ActiveState=failed\nMainPID=0\n"]
            if (goes_wrong, number) == ("a broken lock", 1):
                for each in self.servers:
                    each.lock.break_()
            try:
                server.switch(release, trial=trial_of_a_batch(), observe=0.1 if goes_wrong == "observe" else 0)
            except SwitchError as error:
                troubles.append(f"{server.name}, Make the release live: {error}")
                return
            if number == 0 and goes_wrong == "killed after the first batch":
                raise Killed
            if number == 0 and goes_wrong == "canary":
                troubles.append("app1, Refuse a release with which the canary does worse: 9 of 100 failed.")
                return

    def _back(self, troubles: list[str]) -> None:
        for server in self.servers:
            lock = server.taken
            if server.reached and lock and lock.before and server.releases.live != lock.before:
                try:
                    server.switch(lock.before, trial=False)
                except SwitchError as error:
                    troubles.append(f"{server.name}, Go back: {error}")

    def _end(self, release: str, troubles: list[str]) -> None:
        wishes = {server.name: server.wishes for server in self.servers}
        reached = [server.name for server in self.servers if server.reached]
        end = deploy_end(wishes, {server.name: server.facts for server in self.servers}, reached, troubles)
        self.message = end["message"]
        for server in self.servers:
            lock, server.taken = server.taken, None
            if lock and server.reached:
                if end["outcome"]:
                    told = {
                        "release": release,
                        "outcome": end["outcome"],
                        "before": lock.before,
                        "by": "",
                        "reason": "",
                    }
                    record_end(server.releases, server.lock, told | {"keep": 5, "deploy": lock.deploy})
                else:
                    server.lock.release(lock.deploy)


def trial_of_a_batch() -> bool:
    """What the playbook says of a release that it switches to while the deploy goes on."""
    (task,) = [task for task in yaml.safe_load((STEPS / "switch.yml").read_text()) if "include_role" in str(task)]
    return "__gunicorn_trial" in task.get("vars", {})


@pytest.fixture
def app(tmp_path: Path) -> App:
    servers = []
    for name in ("app1", "app2"):
        root = tmp_path / name
        for folder in (WANTS, TIMERS, "run/shop", "run/lock", "etc/shop"):
            (root / folder).mkdir(parents=True)
        for number, release in enumerate(("zero", "one", "two", "three")):
            (root / "srv/shop/releases" / release).mkdir(parents=True)
            file = root / "srv/shop/releases" / release / "release.json"
            file.write_text(json.dumps({"source": release}))
            os.utime(file, (time.time() - 1000 + number,) * 2)
        servers.append(Server(name, FakeHost(root=root)))
    return App(servers)


@pytest.fixture
def running(app: App) -> App:
    """The app with release one live, and zero before that."""
    for release in ("zero", "one"):
        app.deploy(release)
    return app


GOOD = ("two", "live", "one")
WITHDRAWN = ("one", "failed", "zero")
UNTRIED = ("one", "", "zero")
RECORDED = r"two is recorded as failed: rollback takes it only by name, with -e insist=true\."

# How it ends; what app1 and app2 then have live, say of release two, and go back to; and what the last message has.
ENDINGS: dict[str, tuple[tuple[str, str, str], tuple[str, str, str], str]] = {
    "": (GOOD, GOOD, "^$"),
    "build": (UNTRIED, UNTRIED, r"^shop two was not deployed\.\napp1, Run the build.*\napp1 has one live now\."),
    "migration": (
        UNTRIED,
        UNTRIED,
        r"^shop two was not deployed\.\napp1, Run the migration.*\napp1 has one live now\.",
    ),
    "start": (WITHDRAWN, WITHDRAWN, r"Release two could not start\. Release one serves\.[\s\S]*" + RECORDED),
    "observe": (WITHDRAWN, WITHDRAWN, r"Release two was withdrawn: it ended 0 s after it was ready[\s\S]*" + RECORDED),
    "a later batch": (
        WITHDRAWN,
        WITHDRAWN,
        r"app2, Make the release live: Release two could not start[\s\S]*" + RECORDED,
    ),
    "canary": (
        WITHDRAWN,
        WITHDRAWN,
        r"the canary does worse[\s\S]*app1 has one live now\.\napp2 has one[\s\S]*" + RECORDED,
    ),
    "verify": (WITHDRAWN, WITHDRAWN, r"app1 has one live now\.\napp2 has one live now\.\n" + RECORDED),
    "budget": (WITHDRAWN, WITHDRAWN, RECORDED),
    "after_switch": (WITHDRAWN, WITHDRAWN, RECORDED),
    # Servers of which one cannot go back differ until somebody deploys, or names a release.
    "the way back": (
        ("two", "failed", "zero"),
        WITHDRAWN,
        r"app1, Go back: Release one could not start\. Release two serves\.[\s\S]*app1 has two live now\.\napp2 has",
    ),
    "a broken lock": (
        ("two", "failed", "one"),
        WITHDRAWN,
        r"app2, .*The lock of this deploy of shop was broken[\s\S]*app1 has two live now\.\napp2 has one live now\.",
    ),
    "a server is lost": (
        WITHDRAWN,
        ("two", "tried", "one"),
        r"app1 has one live now\.\napp2 is not reached, so what it has live is not known\.\n" + RECORDED,
    ),
    # A killed deploy says nothing; its rollback goes to what it found live, on all servers.
    "killed before the switch": (("one", "", "one"), ("one", "", "one"), "^$"),
    "killed after the first batch": (("two", "tried", "one"), ("one", "", "one"), "^$"),
    "killed before the end is recorded": (("two", "tried", "one"), ("two", "tried", "one"), "^$"),
}


def test_the_end_records_removes_and_gives_the_lock_back(running: App) -> None:
    server = running.servers[0]
    server.taken = lock = server.lock.take("anna@laptop", "two", CONTROLLER, 900, before="one")
    server.switch("two", trial=True)
    told = {"release": "two", "outcome": "live", "before": "one", "by": "", "reason": ""}
    told |= {"keep": 1, "deploy": lock.deploy}
    assert record_end(server.releases, server.lock, told) == {"changed": True, "removed": ["three", "zero"]}
    assert verdicts(History(server.host.root, "shop").read())["two"] == "live"
    assert server.lock.read() is None


@pytest.mark.parametrize("error", [OSError, ReleasesError])
def test_an_end_that_cannot_be_recorded_gives_the_lock_back(
    running: App, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    server = running.servers[0]
    server.taken = lock = server.lock.take("anna@laptop", "two", CONTROLLER, 900, before="one")

    def full(*_words: object, **_options: object) -> bool:
        raise error

    server.switch("two", trial=True)
    monkeypatch.setattr(History, "add", full)
    told = {"release": "two", "outcome": "live", "before": "one", "by": "", "reason": ""}
    told |= {"keep": 1, "deploy": lock.deploy}
    if error is OSError:
        assert "changed" not in record_end(server.releases, server.lock, told)
    else:
        with pytest.raises(error):
            record_end(server.releases, server.lock, told)
    assert server.lock.read() is None


@pytest.mark.parametrize("ending", ENDINGS)
def test_how_a_deploy_ends(running: App, ending: str) -> None:
    running.message = ""
    running.deploy("two", ending)
    first, second, said = ENDINGS[ending]
    assert [server.state() for server in running.servers] == [first, second]
    assert re.search(said, running.message), running.message


def cells(ending: str) -> list[str]:
    """What the page says of an ending: live on app1 and app2, in the history of both, and what rollback takes."""
    rows = (line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines())
    (found,) = [row for row in rows if len(row) == 6 and row[1].strip() == f"`{ending or 'good'}`"]
    return [cell.strip() for cell in found[2:5]]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_page_says_the_same_of_each_ending(ending: str) -> None:
    servers = ENDINGS[ending][:2]
    said = [" and ".join(dict.fromkeys(server[part] or "nothing" for server in servers)) for part in range(3)]
    assert cells(ending) == said


@pytest.mark.parametrize(
    "ending", [ending for ending, (*servers, _said) in ENDINGS.items() if servers == [WITHDRAWN, WITHDRAWN]]
)
def test_what_was_withdrawn_is_taken_by_name_when_somebody_insists(running: App, ending: str) -> None:
    running.deploy("two", ending)
    for server in running.servers:
        with pytest.raises(ReleasesError, match="Release two of shop failed when it was to become live"):
            server.releases.choose("two")
        assert server.releases.choose("two", insist=True) == "two"


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending])
def test_the_same_deploy_goes_on_without_insisting(running: App, ending: str) -> None:
    running.deploy("two", ending)
    for server in running.servers:
        server.host.broken.clear()
        server.host.lives[:] = ["ActiveState=active\nMainPID=7\n"]
        server.reached = True
    running.deploy("two")
    assert [server.state()[:2] for server in running.servers] == [("two", "live")] * 2
    # What the killed deploy had found is still the release before, unless it did not start any more.
    way_back = [("zero" if ending == "the way back" else "one"), "one"]
    assert [server.rollback() for server in running.servers] == way_back


@pytest.mark.parametrize("ending", ["killed after the first batch", "killed before the end is recorded"])
def test_after_a_killed_deploy_rollback_ends_it_and_never_picks_it(running: App, ending: str) -> None:
    running.deploy("two", ending)
    for server in running.servers:
        chosen = server.rollback()
        lock = server.lock.read()
        assert lock is not None
        server.lock.release(lock.deploy)  # the playbook has taken it over, and gives it back
        server.switch(chosen, trial=False)
    assert [server.releases.live for server in running.servers] == ["one", "one"]
    assert [server.rollback() for server in running.servers] == ["zero", "zero"]
    with pytest.raises(ReleasesError, match="The deploy of release two of shop was interrupted"):
        running.servers[0].releases.choose("two")
    assert running.servers[0].releases.choose("two", insist=True) == "two"
    assert "interrupted" in "\n".join(running.servers[0].releases.table())


def test_of_two_deploys_at_once_the_second_is_refused_and_leaves_no_trace(running: App) -> None:
    other = running.servers[1].lock.take("bert@desk", "three", {"host": "desk", "pid": "8"}, 900, before="one")
    running.deploy("two")
    assert "app2, Acquire the deploy lock: bert@desk deploys shop (three) since" in running.message
    assert "app1 has one live now.\napp2 has one live now." in running.message
    assert [server.lock.read() for server in running.servers] == [None, other]
    running.servers[1].lock.break_()
    assert [server.state() for server in running.servers] == [UNTRIED, UNTRIED]


def test_a_second_deploy_that_fails_takes_nothing_from_the_first(running: App) -> None:
    running.deploy("two")
    running.deploy("three", "verify")
    assert [(server.releases.live, server.rollback()) for server in running.servers] == [("two", "one")] * 2


def test_a_first_deploy_that_is_refused_leaves_nothing_live(app: App) -> None:
    app.deploy("two", "start")
    assert [server.state()[:2] for server in app.servers] == [("", "failed")] * 2
    assert "app1 has no release live now." in app.message
    assert app.servers[0].rollback().startswith("There is no release of shop to go back to")


def test_a_first_deploy_that_fails_late_says_that_it_serves_all_the_same(app: App) -> None:
    app.deploy("two", "after_switch")
    assert [server.state()[:2] for server in app.servers] == [("two", "failed")] * 2
    assert "app1 has two live now." in app.message
    assert "There was no release before, so none could come back." in app.message
    app.deploy("three")
    assert app.servers[0].rollback().startswith("There is no release of shop to go back to")


def test_a_host_of_before_this_record_goes_on(app: App) -> None:
    """What an older version has deployed has the event `live` alone."""
    for server in app.servers:
        server.switch("zero", trial=False)
        server.switch("one", trial=False)
    assert [server.rollback() for server in app.servers] == ["zero"] * 2


# What the database has


def test_who_migrates_in_a_command_before_the_switch_has_the_schema_recorded_too() -> None:
    """After both kinds of commands, whether there is a command that migrates or not."""
    tasks = yaml.safe_load((STEPS / "migrate.yml").read_text())
    names = [task["name"] for task in tasks]
    seen = names.index("See which revision the database has")
    assert (
        names.index("Run the commands before the switch")
        < names.index("Migrate, once for all servers of the app")
        < seen
    )
    assert tasks[seen]["when"] == ["__deploy_first", "not ansible_check_mode"]
    assert "Record what the database has" in names[seen + 1]
    assert "app_migrate_command" not in str(tasks[seen + 1]["when"])


@pytest.mark.parametrize(
    ("variables", "migrates"),
    [
        ({}, False),
        ({"app_before_switch": ["shop warm"]}, True),
        ({"app_migrate_command": "alembic upgrade head"}, True),
    ],
)
def test_the_step_is_done_for_either(variables: dict[str, Any], migrates: bool) -> None:
    assert examined("app", variables).derived["migrates"] is migrates


# What stays


def test_the_configuration_that_a_failed_deploy_leaves_is_named(running: App) -> None:
    names = ["app1", "app2"]
    deploy = {"app": "shop", "release": "two", "live": "one", "changes": True}
    wishes = dict.fromkeys(names, deploy)
    facts = {name: {"gunicorn_configured": {"files": {}}} for name in names}
    assert "stays on" not in deploy_end(wishes, facts, names, ["trouble"])["message"]
    facts["app1"]["gunicorn_configured"] = {"files": {"/etc/shop/environment": "changed", "/etc/shop/try": "changed"}}
    said = deploy_end(wishes, facts, names, ["trouble"])["message"]
    assert "The configuration of this deploy stays on app1: /etc/shop/environment." in said


def test_a_server_that_is_lost_is_said_to_be() -> None:
    deploy = {"app": "shop", "release": "two", "live": "one", "changes": True}
    said = deploy_end(dict.fromkeys(("app1", "app2"), deploy), {"app1": {}, "app2": {}}, ["app1"], ["lost"])
    assert "app2 is not reached, so what it has live is not known." in said["message"]
    assert said["outcome"] == ""


def test_a_run_without_a_new_release_records_nothing() -> None:
    deploy = {"app": "shop", "release": "one", "live": "one", "changes": False}
    facts = {"app1": {"gunicorn_switch": {"live": "one", "previous": "one", "failed": True}}}
    assert deploy_end({"app1": deploy}, facts, ["app1"], ["app1, Make the release live: it failed."])["outcome"] == ""


def test_a_first_deploy_that_fails_late_stays_live_until_it_has_ended_well(app: App) -> None:
    app.deploy("two", "verify")
    assert [server.state()[:2] for server in app.servers] == [("two", "failed")] * 2
    app.deploy("two")
    assert app.message == ""
    assert [server.wishes["changes"] for server in app.servers] == [True] * 2
    assert [server.state()[:2] for server in app.servers] == [("two", "live")] * 2
    app.deploy("two")
    assert [server.wishes["changes"] for server in app.servers] == [False] * 2
