"""Versions of an app without a lock: resolved once, the same on all servers, and kept until asked for others."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.production.fastapi.plugins.action import release as action
from ansible_collections.production.fastapi.plugins.module_utils._release import pins as release_pins
from ansible_collections.production.fastapi.plugins.module_utils._release.build import Release
from ansible_collections.production.fastapi.plugins.module_utils._release.forms import LOCKED_FORMS, PLAIN
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Settings
from ansible_collections.production.fastapi.plugins.module_utils._release.install import Wanted
from ansible_collections.production.fastapi.plugins.module_utils._release.pins import Live, Resolving, WantsPinsError
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.tests.unit.plugins.release_helpers import (
    MAIN,
    build_here,
    commit,
    needs_uv,
    packages,
    release_of,
    write_wheel,
)

pytestmark = needs_uv


@pytest.fixture
def source(tmp_path, monkeypatch):
    """An app that needs any `web`, which needs any `parts`; of both there are the versions 1 and 2."""
    build_here(monkeypatch)
    folder = tmp_path / "source"
    folder.mkdir()
    (tmp_path / "wheels").mkdir()
    (folder / "main.py").write_text(MAIN)
    write(folder, "web")
    return folder


def write(source, *dependencies, form="pyproject.toml"):
    wheels = source.parent / "wheels"
    (wheels / "uv.toml").write_text(f'no-index = true\nfind-links = ["{wheels}"]\n')
    for version in ("1", "2"):
        write_wheel(wheels, "web", version, ("parts",))
        write_wheel(wheels, "parts", version)
        write_wheel(wheels, "server", version)
    listed = json.dumps(list(dependencies if form == "pyproject.toml" else []))
    (source / "pyproject.toml").write_text(
        f'[project]\nname = "hello"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = {listed}\n'
    )
    if form == "requirements.txt":
        (source / form).write_text("".join(f"{line}\n" for line in dependencies))
    commit(source)


def go_live(release: Release) -> None:
    link = release.spec.directory / "current"
    link.unlink(missing_ok=True)
    link.symlink_to(f"releases/{release.path.name}")


class Wheels(Settings):
    """An index that is the folder of wheels."""

    def environment(self) -> dict[str, str]:
        return {"UV_CONFIG_FILE": f"{self.proxy}/uv.toml"}


def built(source, **options) -> Release:
    release = release_of(source, settings=Wheels(proxy=str(source.parent / "wheels")), **options)
    release.build(None)
    return release


def live_with(source, pins: dict[str, str], **options) -> Release:
    """A release that is live, of which the versions are these."""
    release = built(source, resolving=Resolving(given=pins), **options)
    go_live(release)
    return release


@pytest.mark.parametrize("form", ["pyproject.toml", "requirements.txt"])
def test_other_servers_get_the_versions_of_the_first(source, form):
    write(source, "web", form=form)
    with pytest.raises(WantsPinsError):
        built(source, resolving=Resolving(here=False), requirements=["server"])
    given = {"web": "1", "parts": "1", "server": "1"}
    release = built(source, resolving=Resolving(given=given, here=False), requirements=["server"])
    assert packages(release) == given
    assert release.read()["pins"] == given


def test_who_waits_for_the_versions_leaves_nothing(source):
    with pytest.raises(WantsPinsError):
        built(source, resolving=Resolving(here=False))
    assert list((source.parent / "srv" / "releases").iterdir()) == []


def test_the_first_server_has_the_newest(source):
    assert packages(built(source)) == {"web": "2", "parts": "2"}
    assert built(source).read()["pins"] == {"web": "2", "parts": "2"}


def test_a_new_release_keeps_the_versions_of_the_live_one(source):
    live_with(source, {"web": "1", "parts": "1", "server": "1"}, requirements=["server"])
    (source / "main.py").write_text(f"{MAIN}# changed\n")
    commit(source)
    release = built(source, requirements=["server"])
    assert packages(release) == {"web": "1", "parts": "1", "server": "1"}
    assert not (release.path / "venv" / "pins.txt").exists()


def test_what_the_source_asks_for_goes_before(source):
    live_with(source, {"web": "1", "parts": "1"})
    write(source, "web>=2")
    assert packages(built(source)) == {"web": "2", "parts": "1"}


def test_what_serves_the_app_follows_its_range(source):
    live_with(source, {"web": "1", "parts": "1", "server": "1"}, requirements=["server"])
    assert packages(built(source, requirements=["server>=2"])) == {"web": "1", "parts": "1", "server": "2"}


def test_a_new_first_server_takes_the_versions_of_the_others(source):
    release = built(source, resolving=Resolving(preferred={"web": "1", "parts": "1"}))
    assert packages(release) == {"web": "1", "parts": "1"}


def test_resolve_makes_another_release_that_stays(source, monkeypatch):
    before = live_with(source, {"web": "1", "parts": "1"})
    assert release_of(source).path == before.path
    release = built(source, resolve=True)
    assert release.path != before.path
    assert packages(release) == {"web": "2", "parts": "2"}
    # It has failed, or somebody has rolled back: what is live stays.
    assert release_of(source).path == before.path
    go_live(release)
    assert release_of(source).path == release.path
    monkeypatch.setattr(release_pins.time, "gmtime", lambda: (2030, 1, 1, 0, 0, 0, 0, 0, 0))
    assert release_of(source, resolve=True).path not in (before.path, release.path)


def test_another_server_has_the_resolution_of_the_first(source):
    first = release_of(source, resolve=True)
    other = release_of(source, resolve=True, resolution=first.resolution)
    assert other.path == first.path
    assert release_of(source, resolution="").path == release_of(source).path


@pytest.mark.parametrize("form", LOCKED_FORMS)
def test_what_has_a_lock_is_not_resolved(form):
    live = Live("one", "", form, {})
    assert live.resolution_of("one", anew=True) == ""
    assert Live("one", "", "pyproject.toml").resolution_of("one", anew=True) != ""


def test_a_release_of_an_earlier_version_goes_on(source):
    release = built(source)
    file = release.path / "release.json"
    known = json.loads(file.read_text())
    for key in ("base", "pins", "resolution"):
        del known[key]
    file.write_text(json.dumps(known))
    go_live(release)
    assert release_of(source).path == release.path
    assert release_of(source, resolve=True).path != release.path
    file.write_text(json.dumps({**known, "dependencies": "uv.lock"}))
    assert release_of(source, resolve=True).path == release.path


def test_requirements_with_a_version_each_are_a_lock(source):
    write(source, "web==1", "parts==1", form="requirements.txt")
    assert packages(built(source, resolving=Resolving(here=False))) == {"web": "1", "parts": "1"}
    assert Wanted.read("requirements.txt", source, PLAIN).locked


def test_versions_that_cannot_be_had_end_the_build(source):
    with pytest.raises(ReleaseError, match=r"^pyproject\.toml cannot be installed: .*parts==3"):
        built(source, resolving=Resolving(given={"web": "1", "parts": "3"}))


NEW = {"release": {"name": "x"}, "complete": False, "resolution": "", "former": {}}
DONE = {"release": {"name": "x", "pins": {"web": "1"}}, "complete": True, "resolution": "", "former": {}}


@pytest.mark.parametrize(
    ("here", "found", "said"),
    [
        ("a", {}, {}),
        ("a", {"a": NEW}, {}),
        ("a", {"a": NEW, "b": NEW}, {"resolver": True, "resolution": "", "pins": {}, "preferred": {}}),
        ("b", {"a": NEW, "b": NEW}, {"resolver": False, "resolution": "", "pins": {}, "preferred": {}}),
        ("b", {"a": DONE, "b": NEW}, {"resolver": False, "resolution": "", "pins": {"web": "1"}, "preferred": {}}),
        ("a", {"a": NEW, "b": DONE}, {"resolver": True, "resolution": "", "pins": {"web": "1"}, "preferred": {}}),
        (
            "a",
            {"a": {**NEW, "resolution": "7"}, "b": {**DONE, "release": {"name": "y", "pins": {"web": "1"}}}},
            {"resolver": True, "resolution": "7", "pins": {}, "preferred": {}},
        ),
        (
            "a",
            {"a": NEW, "b": {**NEW, "former": {"web": "1"}}},
            {"resolver": True, "resolution": "", "pins": {}, "preferred": {"web": "1"}},
        ),
        ("b", {"a": {"failed": True}, "b": NEW}, {"resolver": False, "pins": {}, "preferred": {}}),
    ],
)
def test_the_first_server_decides(here, found, said):
    assert action.versions(here, found) == said


class Task:
    check_mode = False

    def __init__(self):
        self.args = {"name": "shop", "source": {"git": "https://x/y.git"}}


def test_a_server_whose_first_one_has_failed_does_not_go_on_alone(monkeypatch):
    plugin = action.ActionModule.__new__(action.ActionModule)
    plugin._task = Task()
    calls = []
    answer = {"complete": False, "wants_pins": True, "release": {"name": "x"}, "resolution": ""}
    monkeypatch.setattr(action.ActionBase, "run", lambda *_args: {})
    monkeypatch.setattr(plugin, "_module", lambda arguments, _vars: calls.append(arguments) or dict(answer))
    hosts = {"web1": {"app_name": "shop"}, "web2": {"app_name": "shop"}}
    variables = {"hostvars": hosts, "inventory_hostname": "web2", "ansible_play_hosts": ["web1", "web2"]}
    found = plugin.run(None, variables)
    assert calls[0]["resolver"] is False
    hosts["web1"]["app_release"] = {"failed": True}
    with pytest.raises(AnsibleActionFail, match=r"^app_dependencies: this app has no lock, so its first server"):
        plugin.run(None, {**variables, "app_release": found})
    hosts["web1"]["app_release"] = DONE
    plugin.run(None, {**variables, "app_release": found})
    assert calls[1]["pins"] == {"web": "1"}
