"""What the controller answers by itself is what the module would have answered; it is silent where that may differ."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release import there
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account
from ansible_collections.production.fastapi.plugins.module_utils._release.public import COPIED
from ansible_collections.production.fastapi.plugins.module_utils._release.python import OWN
from ansible_collections.production.fastapi.plugins.modules import release as module
from ansible_collections.production.fastapi.plugins.plugin_utils.known_release import answer

COMMIT = "4f2a9c01" * 5
TEXTS = {"name": "hello", "user": "hello", "entrypoint": "main:app"}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a host whose app belongs to whoever runs the tests."""
    monkeypatch.setattr(Account, "find", classmethod(lambda cls, _name: cls(None)))
    ids = SimpleNamespace(pw_uid=os.geteuid(), pw_gid=os.getegid())
    monkeypatch.setattr(there.pwd, "getpwnam", lambda _name: ids)
    return tmp_path


def options_of(host: Path, **given: Any) -> dict[str, Any]:
    """All options of the module."""
    defaults = {name: spec.get("default") for name, spec in module.ARGUMENTS.items()}
    source = {"folder": "/home/anna/hello", "tree": "c0ffee" * 10}
    return {**defaults, **TEXTS, "directory": str(host / "srv/hello"), "source": source, **given}


def told(host: Path, **given: Any) -> dict[str, Any]:
    """What the module answers to a look."""
    fake = SimpleNamespace(check_mode=True, warn=lambda _text: None)
    return module.build(fake, options_of(host, **given), set())  # type: ignore[arg-type]


def live(host: Path, **given: Any) -> None:
    """Make the release of these options the live one."""
    spec = module.specify(options_of(host, **given))
    release = module.Release(spec, warn=lambda _text: None)
    release.resolve()
    release.path.mkdir(parents=True)
    known = release.plan() | {
        "base": release.base,
        "resolution": "",
        "pins": {"idna": "3.10"},
        "dependencies": "uv.lock",
    }
    (release.path / "release.json").write_text(json.dumps(known))
    (release.path / "src").mkdir()
    link = host / "srv/hello/current"
    link.unlink(missing_ok=True)
    link.symlink_to(f"releases/{release.path.name}")
    release.folders(check=False)
    release.publish(check=False)


def read(host: Path) -> dict[str, Any]:
    """What `host_info` reads; folders that nobody but root can give away are as they should be."""
    found = there.read_there(host, "hello", OWN.resolve().name)
    if os.geteuid() and found:
        found["folders"] = there.wanted_folders(found["app"], found["web"], (0, 0), media=False)
    return found and found | {"unfinished": False}


def answered(host: Path, **given: Any) -> dict[str, Any] | None:
    """What the controller answers."""
    return answer({**options_of(host, **given), "directory": "/srv/hello"}, read(host))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"static": ["static/"], "static_kept": ["static"]},
        {"source": {"package": "hello", "version": "1.2"}},
        {"source": {"git": "https://example.com/hello.git", "version": COMMIT}},
        {"source": {"archive": "https://example.com/x.tgz", "checksum": "sha256:abc", "subdirectory": "app"}},
        {"python": "3.12", "extras": ["b", "a"], "groups": ["web"], "shared": ["data/"], "ignore_pins": ["idna"]},
        {"build_commands": ["make"], "build_environment": {"A": "1"}, "index_url": "https://index.example.com/simple"},
        {"build_environment": {"A": "1"}, "install_options": ["--no-sources"], "requirements": ["uvicorn>=0.36"]},
    ],
)
def test_the_controller_answers_what_the_module_would(host: Path, given: dict[str, Any]) -> None:
    live(host, **given)
    found = answered(host, **given)
    assert found is not None
    assert {"changed": False, **found} == told(host, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"source": {"folder": "/home/anna/hello", "tree": "beef" * 16}},
        {"python": "3.12"},
        {"entrypoint": "main:other"},
        {"requirements": ["uvicorn>=0.36"]},
        {"static": ["static"]},
        {"resolve": True},
        {"resolve": "true"},
        {"media": ["uploads"]},
        {"user": "other"},
        {"ca_bundle": "/etc/own.pem"},
        {"extras": "a"},
        {"groups": [1]},
        {"python": 3.12},
    ],
)
def test_another_release_or_an_option_to_look_into_is_asked_for(host: Path, given: dict[str, Any]) -> None:
    live(host)
    assert answered(host) is not None
    assert answered(host, **given) is None


def test_what_a_branch_means_is_asked_for(host: Path) -> None:
    source = {"git": "https://example.com/hello.git", "version": COMMIT}
    live(host, source=source)
    assert answered(host, source=source) is not None
    assert answered(host, source={**source, "version": "main"}) is None
    assert answered(host, source={"git": source["git"]}) is None


def folder_open(host: Path) -> None:
    (host / "srv/hello/build").chmod(0o755)


def release_gone(host: Path) -> None:
    (host / "srv/hello/current/release.json").unlink()


def copy_of_none(host: Path) -> None:
    (host / "srv/hello/public/releases/older").mkdir(parents=True)


def copy_of_before(host: Path) -> None:
    (next((host / "srv/hello/public/releases").iterdir()) / COPIED).write_text('["other"]')


def cache_of_before(host: Path) -> None:
    (host / "srv/hello/cache").mkdir()


def variables_of_before(host: Path) -> None:
    (host / "srv/hello/current/release.env").write_text('APP_NAME="hello"\n')


def none_is_live(host: Path) -> None:
    (host / "srv/hello/current").unlink()


@pytest.mark.parametrize(
    "break_it",
    [folder_open, release_gone, copy_of_none, copy_of_before, cache_of_before, variables_of_before, none_is_live],
)
def test_what_has_changed_on_the_host_is_for_the_module(host: Path, break_it: Any) -> None:
    if break_it is folder_open and os.geteuid():
        pytest.skip("only root can give the folders to who they are of")
    live(host, static=["static"])
    assert answered(host, static=["static"]) is not None
    break_it(host)
    assert answered(host, static=["static"]) is None
    assert told(host, static=["static"])["changed"] or break_it is none_is_live
