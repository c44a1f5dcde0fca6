"""Package indexes that ask who wants something: who gets the credentials, and what a refusal is called."""

from __future__ import annotations

import base64
import http.server
import json
import re
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.action.release import seal
from ansible_collections.production.fastapi.plugins.module_utils._release import install as release_install
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Settings
from ansible_collections.production.fastapi.plugins.module_utils._release.index import Credentials
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError, explain_refusal
from ansible_collections.production.fastapi.plugins.modules import release as module
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.indexes import index_credentials_problems
from ansible_collections.production.fastapi.tests.unit.plugins.release_helpers import (
    MAIN,
    UV,
    build_here,
    commit,
    needs_uv,
    packages,
    release_of,
    write_wheel,
)

PASSWORD = "s3cret-token"
OPENS = {"username": "deploy", "password": PASSWORD}


@pytest.fixture
def index(tmp_path):
    """The URL of an index that has `greeting` for those who know the password, and what was asked of it."""
    (tmp_path / "index" / "simple" / "greeting").mkdir(parents=True)
    write_wheel(tmp_path / "index" / "simple" / "greeting", "greeting")

    class Index(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(tmp_path / "index"), **options)

        def do_GET(self):
            known = "Basic " + base64.b64encode(f"deploy:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") == known:
                return super().do_GET()
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


@pytest.fixture
def source(tmp_path, monkeypatch, index):
    build_here(monkeypatch)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "main.py").write_text("import greeting\n" + MAIN)
    return tmp_path / "source"


def project(index: str, *, explicit: bool = True) -> str:
    named = f'name = "private"\nurl = "{index}"\nexplicit = {str(explicit).lower()}\n'
    described = '[project]\nname = "hello"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["greeting"]\n'
    return f'{described}[[tool.uv.index]]\n{named}[tool.uv.sources]\ngreeting = {{index = "private"}}\n'


@needs_uv
@pytest.mark.parametrize("form", ["pyproject.toml", "uv.lock", "uv.lock from a mirror"])
@pytest.mark.parametrize("key", ["name", "URL"])
def test_an_index_of_the_project_is_opened_by_its_name_and_by_its_url(source, index, form, key):
    (source / "pyproject.toml").write_text(project(index))
    if form.startswith("uv.lock"):
        environment = {"UV_INDEX_PRIVATE_USERNAME": "deploy", "UV_INDEX_PRIVATE_PASSWORD": PASSWORD, "PATH": "/usr/bin"}
        tool = [str(UV), "--quiet", "--no-python-downloads", "lock"]
        subprocess.run(tool, cwd=source, check=True, env={**environment, "UV_DEFAULT_INDEX": f"{index}/none"})
    commit(source)
    mirror = Settings(index_url=f"{index}/none") if form.endswith("mirror") else Settings()
    credentials = {"private" if key == "name" else index: OPENS}
    if form.endswith("mirror"):
        credentials[f"{index}/none"] = OPENS
    release = release_of(source, index_credentials=credentials, settings=mirror)
    release.build(None)
    assert packages(release) == {"greeting": "1"}
    leaves = [path for path in (source.parent / "srv").rglob("*") if path.is_file()]
    assert not [path for path in leaves if PASSWORD.encode() in path.read_bytes()]


@needs_uv
def test_requirements_find_an_index_of_the_options_by_its_url(source, index):
    (source / "requirements.txt").write_text("greeting==1\n")
    commit(source)
    release = release_of(source, install_options=["--index", index], index_credentials={index: OPENS})
    release.build(None)
    assert packages(release) == {"greeting": "1"}


@needs_uv
@pytest.mark.parametrize("given", [{}, {"private": {**OPENS, "password": "another"}}], ids=["none", "another"])
@pytest.mark.parametrize("locked", [False, True])
def test_a_refusal_is_called_one(source, index, given, locked):
    (source / "pyproject.toml").write_text(project(index))
    if locked:
        test = {"UV_INDEX_PRIVATE_USERNAME": "deploy", "UV_INDEX_PRIVATE_PASSWORD": PASSWORD, "PATH": "/usr/bin"}
        subprocess.run([str(UV), "--quiet", "lock"], cwd=source, check=True, env=test)
    commit(source)
    release = release_of(source, index_credentials=given)
    with pytest.raises(ReleaseError, match=rf"^app_index_credentials: {index}\S* answers 401 Unauthorized; write the"):
        release.build(None)


def test_a_name_that_no_index_has_is_refused_before_anything_is_installed(source, index, monkeypatch):
    monkeypatch.setattr(release_install.Installer, "install", lambda *_: pytest.fail("went on"))
    (source / "pyproject.toml").write_text(project(index))
    commit(source)
    release = release_of(source, index_credentials={"privat": OPENS})
    with pytest.raises(ReleaseError, match=r"^app_index_credentials: .* no index named privat; it has private\. Use"):
        release.build(None)


def test_a_name_may_be_one_of_the_options():
    for options in (["--index", "own=https://x/simple"], ["--index=own=https://x/simple"]):
        Credentials({"own": OPENS}).check([], options)
    with pytest.raises(ReleaseError, match="no index named own"):
        Credentials({"own": OPENS}).check([], ["--index", "https://x/?own=1"])


def test_other_credentials_are_the_same_release(source, index):
    (source / "pyproject.toml").write_text(project(index))
    commit(source)
    assert len({release_of(source, index_credentials=given).path for given in ({}, {"private": OPENS})}) == 1


def test_build_commands_do_not_get_them(source, index):
    (source / "pyproject.toml").write_text(project(index))
    commit(source)
    commands = ["env >environment"]
    release = release_of(source, index_credentials={"private": OPENS, index: OPENS}, build_commands=commands)
    release.build(None)
    assert PASSWORD not in (release.path / "src" / "environment").read_text()


def test_they_are_sent_and_not_shown():
    shown = seal({"name": "shop", "index_credentials": {"private": OPENS}})
    assert "index_credentials" not in shown
    assert PASSWORD not in json.dumps(shown)
    assert json.loads(base64.b64decode(shown["sealed"])) == {"index_credentials": {"private": OPENS}}
    assert module.ARGUMENTS["index_credentials"]["no_log"]


def test_pip_gets_them_when_it_fetches_uv(tmp_path, monkeypatch):
    seen = {}

    def pip(_words, _confinement, environment, **_options):
        seen.update(environment)
        seen["netrc"] = Path(environment["NETRC"]).read_text()
        return 1, "WARNING: 401 Error, Credentials not correct for https://pypi.example.com/simple/uv/\nERROR: No match"

    monkeypatch.setattr(release_install, "run", pip)
    monkeypatch.setattr(release_install, "pip_command", lambda: ["pip"])
    credentials = Credentials({"https://pypi.example.com/simple": OPENS})
    with pytest.raises(ReleaseError, match=r"app_index_credentials: https://pypi\.example\.com/simple/uv/ answers 401"):
        release_install.install_uv("1", ["sha256:1"], Settings(), tmp_path, credentials)
    assert seen["netrc"] == f"machine pypi.example.com login deploy password {PASSWORD}\n"


@pytest.mark.parametrize(
    ("output", "url"),
    [
        ("hint: An index URL (https://x/simple) could not be queried due to (403 Forbidden).", "https://x/simple"),
        ("cause: HTTP status client error (401 Unauthorized) for url (https://x/a.whl)", "https://x/a.whl"),
        ("ERROR: HTTP error 403 while getting https://x/a.whl", "https://x/a.whl"),
        ("401 Client Error: Unauthorized for url: https://u:pw@x/simple/", r"https://\*+@x/simple/"),
    ],
)
def test_refusals_of_uv_and_pip_are_known(output, url):
    assert re.match(rf"app_index_credentials: {url} answers 40[13] ", explain_refusal(output))


@pytest.mark.parametrize("output", ["HTTP status client error (404 Not Found) for url (https://x)", "error 401"])
def test_what_is_no_refusal_is_not_called_one(output):
    assert explain_refusal(output) == ""


@pytest.mark.parametrize(
    ("credentials", "sentence"),
    [
        (["a"], "write each index with its username and password"),
        ({"private": PASSWORD}, "private needs a username and a password, and nothing else"),
        ({"private": {"username": "a"}}, "private needs a username and a password"),
        ({"private": {**OPENS, "url": "x"}}, "private needs a username and a password, and nothing else"),
        ({"my index": OPENS}, "my index is neither a URL nor a name"),
        ({"ftp://x": OPENS}, "ftp://x is not a URL"),
        ({"https://me:s3cret-token@x/simple": OPENS}, r"x/simple has a user name in its URL"),
        ({"https://x": {**OPENS, "password": "s3cret token"}}, "the password of https://x is empty, or has a space"),
        ({"private": {**OPENS, "password": "s3cret\ntoken"}}, "the password of private is empty or has a control"),
        ({"private": {**OPENS, "password": None}}, "the password of private is empty"),
        (
            {"https://x/a": OPENS, "https://x/b": {**OPENS, "password": "s3cret-other"}},
            "https://x/b and https://x/a are on one host and have different credentials",
        ),
    ],
)
def test_credentials_that_cannot_be_meant_are_refused_without_being_told(credentials, sentence):
    (problem,) = index_credentials_problems(credentials)
    assert problem.startswith(f"app_index_credentials: {sentence}")
    assert "s3cret" not in problem


def test_credentials_as_they_should_be():
    one_host = {"https://x/a": OPENS, "https://x/b": OPENS, "private": {"username": 'a "b', "password": "c #d"}}
    assert index_credentials_problems(one_host) == []
    assert index_credentials_problems({}) == []
