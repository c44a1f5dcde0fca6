"""What leaves the controller: nothing readable that is secret, and no source that is already there."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import date

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.production.fastapi.plugins.action import release as action
from ansible_collections.production.fastapi.plugins.module_utils._app.environment import as_text
from ansible_collections.production.fastapi.plugins.module_utils._release.tree import unpack
from ansible_collections.production.fastapi.plugins.modules import release as module


class Loader:
    def __init__(self, folder):
        self.folder = folder

    def path_dwim(self, path):
        return str(self.folder / path)


class Task:
    def __init__(self, check_mode=False, **options):
        self.args = {"name": "shop", "entrypoint": "shop.main:app", **options}
        self.check_mode = check_mode


def make(tmp_path, answers, monkeypatch, **options):
    """An action whose module answers with `answers`, and the list of the arguments that it was called with."""
    plugin = action.ActionModule.__new__(action.ActionModule)
    plugin._task, plugin._loader = Task(**options), Loader(tmp_path)
    calls = []
    monkeypatch.setattr(action.ActionBase, "run", lambda *_args: {})
    monkeypatch.setattr(
        plugin, "_module", lambda arguments, _vars: calls.append(arguments) or dict(answers[len(calls) - 1])
    )
    monkeypatch.setattr(plugin, "_send", lambda local, _include: {"upload": f"/remote/{local.name}"})
    return plugin, calls


def test_secrets_are_sent_but_not_shown():
    options = {
        "name": "shop",
        "source": {"git": "https://bot:s3cr3t@git.example.com/x.git"},
        "index_url": "https://user:s3cr3t@index/",
        "environment": {"TOKEN": "s3cr3t"},
    }
    arguments = action.seal(options)
    assert "s3cr3t" not in json.dumps(arguments)
    assert arguments["source"] == {"git": "https://********@git.example.com/x.git"}
    hidden = json.loads(base64.b64decode(arguments["sealed"]))
    assert hidden == {key: options[key] for key in ("source", "index_url", "environment")}


def test_the_module_shows_none_of_what_is_sealed():
    assert module.ARGUMENTS["sealed"]["no_log"]
    assert module.ARGUMENTS["environment"]["no_log"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (1, "1"), (1.5, "1.5"), ("x", "x"), (date(2026, 1, 2), "2026-01-02")],
)
def test_values_become_text_as_they_are_written(value, text):
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SENTRY_DSN": None, "FEATURE": None}, 'SENTRY_DSN, FEATURE has no value; write "" for an empty text'),
        ({"KEY": {"a": "s3cr3t"}}, "the value of KEY has a control character or a structure"),
        ({"A-B": "s3cr3t"}, "A-B can be no name of a variable"),
    ],
)
def test_an_environment_that_nobody_can_have_meant_is_refused(tmp_path, monkeypatch, environment, sentence):
    source = {"git": "https://x/y.git"}
    plugin, calls = make(tmp_path, [], monkeypatch, source=source, environment=environment)
    with pytest.raises(AnsibleActionFail, match=sentence) as error:
        plugin.run(None, {})
    assert "s3cr3t" not in str(error.value)
    assert calls == []


def test_a_release_that_is_there_needs_no_transfer(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("")
    plugin, calls = make(tmp_path, [{"changed": False, "complete": True}], monkeypatch, source={"folder": "."})
    result = plugin.run(None, {})
    assert result["changed"] is False
    assert len(calls) == 1
    assert "upload" not in calls[0]


def test_the_source_follows_when_the_host_asks_for_it(tmp_path, monkeypatch):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "requirements.txt").write_text("")
    answers = [{"changed": True, "wants_upload": True}, {"changed": True, "complete": True}]
    plugin, calls = make(tmp_path, answers, monkeypatch, source={"folder": "app"})
    assert plugin.run(None, {})["complete"]
    assert calls[1]["upload"] == "/remote/app"


def test_the_source_goes_along_when_an_earlier_task_found_that_it_is_missing(tmp_path, monkeypatch):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "requirements.txt").write_text("")
    answers = [{"changed": True, "complete": False, "wants_upload": True}, {"changed": True, "complete": True}]
    plugin, calls = make(tmp_path, answers, monkeypatch, source={"folder": "app"}, check_mode=True)
    found = plugin.run(None, {})
    assert "upload" not in calls[0], "a look sends nothing"
    plugin._task.check_mode = False
    assert plugin.run(None, {"app_release": found})["complete"]
    assert [call.get("upload") for call in calls] == [None, "/remote/app"]


def test_a_small_source_goes_along_and_is_the_same_on_the_host(tmp_path, monkeypatch):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("app = 1\n")
    plugin = action.ActionModule.__new__(action.ActionModule)
    monkeypatch.setattr(plugin, "_transfer", lambda packed: f"/remote/{len(packed.read_bytes())}")
    (tmp_path / "host").mkdir()
    packed = module.unpacked(plugin._send(tmp_path / "app", [])["packed"], tmp_path / "host")
    unpack(packed, tmp_path / "src", whole=True)
    assert (tmp_path / "src" / "main.py").read_text() == "app = 1\n"
    assert module.ARGUMENTS["packed"]["no_log"]
    big = tmp_path / "app.zip"
    big.write_bytes(bytes(action.GOES_ALONG + 1))
    assert plugin._send(big, []) == {"upload": f"/remote/{action.GOES_ALONG + 1}"}


def test_a_release_that_was_found_in_this_run_is_not_looked_for_again(tmp_path, monkeypatch):
    answers = [{"changed": False, "complete": True, "release": {"name": "x"}}] * 2
    plugin, calls = make(tmp_path, answers, monkeypatch, source={"git": "https://x/y.git", "version": "main"})
    found = plugin.run(None, {})
    assert plugin.run(None, {"app_release": found})["release"] == {"name": "x"}
    assert len(calls) == 1
    plugin._task.args["source"] = {"git": "https://x/y.git", "version": "other"}
    plugin.run(None, {"app_release": found})
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"path": "x"}, r"app_source: name one of git, folder, archive, package\."),
        ({"git": "x", "folder": "y"}, "app_source: name one of"),
        ({"folder": "missing"}, r"app_source\.folder: the controller has no folder .*missing"),
        ({"folder": "poetry"}, r"app_source: the versions of this app are in poetry\.lock, .* run poetry export"),
        ({"folder": "."}, r"app_source: the source needs one of uv\.lock"),
        ({"folder": "old"}, r"versions that it cannot be served with: uvicorn 0\.26\.0 \(supported: >=0\.30,<1\)"),
        ({"folder": ".", "subdirectory": "other"}, r"app_source\.subdirectory: the source has no folder other"),
        ({"archive": "missing.zip"}, r"app_source\.archive: the controller has no file .*missing\.zip"),
        ({"archive": "here", "checksum": "sha256:0"}, r"app_source\.checksum: .*here has sha256:e3b0c442"),
        ({"archive": "https://x/y.zip"}, r"app_source\.checksum: a URL needs"),
        ({"package": "x"}, r"app_source\.version: name the version"),
    ],
)
def test_a_source_that_is_none_is_refused_on_the_controller(tmp_path, monkeypatch, source, sentence):
    (tmp_path / "here").touch()
    (tmp_path / "poetry").mkdir()
    (tmp_path / "poetry" / "poetry.lock").touch()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "requirements.txt").write_text("fastapi\ngunicorn==1.0\nuvicorn[standard]~=0.26.0\n")
    options = {"requirements": ["uvicorn>=0.30,<1", "gunicorn>=25"], "ignore_pins": ["gunicorn"]}
    plugin, calls = make(tmp_path, [], monkeypatch, source=source, **options)
    with pytest.raises(AnsibleActionFail, match=sentence):
        plugin.run(None, {})
    assert calls == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"folder": ".", "include": "build"}, r"app_source\.include: write a list of paths"),
        ({"folder": ".", "include": [1]}, r"app_source\.include: write a list of paths"),
        ({"folder": ".", "include": ["build"]}, r"app_source\.include: .* has nothing at build"),
        ({"git": "https://x/y.git", "include": ["build"]}, r"app_source\.include: only a folder has what git ignores"),
    ],
)
def test_what_cannot_be_included_is_refused(tmp_path, monkeypatch, source, sentence):
    (tmp_path / "requirements.txt").write_text("")
    plugin, calls = make(tmp_path, [], monkeypatch, source=source)
    with pytest.raises(AnsibleActionFail, match=sentence):
        plugin.run(None, {})
    assert calls == []


def test_what_is_included_is_another_source(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / ".gitignore").write_text("build\n")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "app.js").touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    plugin, calls = make(tmp_path, [{"complete": True}] * 2, monkeypatch, source={"folder": "."})
    for include in ([], ["build"]):
        plugin._task.args["source"] = {"folder": ".", "include": include}
        plugin.run(None, {})
    assert [sorted(call["source"]) for call in calls] == [["folder", "tree"]] * 2
    assert calls[0]["source"]["tree"] != calls[1]["source"]["tree"]


def test_a_lock_that_stays_at_home_says_nothing(tmp_path, monkeypatch):
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "poetry.lock").touch()
    (tmp_path / ".gitignore").write_text("poetry.lock\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    plugin, calls = make(tmp_path, [{"changed": False, "complete": True}], monkeypatch, source={"folder": "."})
    plugin.run(None, {})
    assert len(calls) == 1
