"""The five sources and the four forms of dependencies."""

import hashlib
import json
import subprocess

import pytest
from asking import ask, on
from inside import host_in
from make_sources import make_sources
from plays import DEPLOY, SITE, play

NAMES = ("pf-source12", "pf-source13")
SERVE = "systemd-run --unit sources python3 -m http.server --directory /opt/sources --bind 127.0.0.1 8099"
REPOSITORY = {"git": "file:///opt/sources/monorepo.git", "subdirectory": "services/api"}

# Name of the case: app_source, other variables, the form of dependencies that the release must report.
CASES = {
    "git-branch-workspace-member": (REPOSITORY | {"version": "main"}, {}, "uv.lock"),
    "folder-uv-lock": ({"folder": "{sources}/uv-lock"}, {}, "uv.lock"),
    "folder-pylock": ({"folder": "{sources}/pylock"}, {}, "pylock.toml"),
    "folder-requirements": ({"folder": "{sources}/hashed"}, {}, "requirements.txt"),
    "folder-pyproject": ({"folder": "{sources}/project"}, {}, "pyproject.toml"),
    "archive-file": ({"archive": "{sources}/hashed.zip"}, {"app_build": ["id -un >built-by"]}, "requirements.txt"),
    "archive-url": (
        {"archive": "http://127.0.0.1:8099/hashed.tar.gz", "checksum": "{checksum}"},
        {},
        "requirements.txt",
    ),
    "package": (
        {"package": "hello", "version": "1.0.0"},
        {"app_entrypoint": "hello.main:app", "app_install_options": ["--find-links", "/opt/sources/wheels"]},
        "package",
    ),
    "overridden-form": ({"folder": "{sources}/uv-lock"}, {"app_dependencies": "pyproject.toml"}, "pyproject.toml"),
}


@pytest.fixture(scope="session")
def hosts():
    return [host_in(name) for name in NAMES]


@pytest.fixture(scope="session")
def sources(hosts, tmp_path_factory):
    """The sources, made on the controller, with a copy on each host for what a host fetches itself."""
    folder = tmp_path_factory.mktemp("made") / "sources"
    make_sources(folder)
    for name, host in zip(NAMES, hosts, strict=True):
        subprocess.run(["docker", "cp", folder, f"{name}:/opt/sources"], check=True, capture_output=True)
        on(host, "chmod -R a+rX /opt/sources && printf '[safe]\\n\\tdirectory = *\\n' > /etc/gitconfig")
        on(host, SERVE)
    return folder


@pytest.fixture
def fill(sources):
    """Replace the placeholders of a source."""
    checksum = "sha256:" + hashlib.sha256((sources / "hashed.tar.gz").read_bytes()).hexdigest()
    return lambda source: {
        key: text.replace("{sources}", str(sources)).replace("{checksum}", checksum) for key, text in source.items()
    }


def live(host):
    return json.loads(on(host, "cat /srv/hello/current/release.json"))


def deploy(hosts, **variables):
    """All of site.yml the first time, and then the app alone."""
    return play(playbook=DEPLOY if hosts[0].file("/srv/hello/current").exists else SITE, **variables)


@pytest.mark.parametrize("case", CASES)
def test_source(hosts, fill, case):
    source, variables, form = CASES[case]
    result = deploy(hosts, app_source=fill(source), **variables)
    assert result.returncode == 0, result.output
    for host in hosts:
        release = live(host)
        assert release["dependencies"] == form
        if "app_build" in variables:
            made = f"{release['directory']}/built-by"
            assert on(host, f"cat {made} && stat --format=%U {made}").split() == ["hello_", "root"]
        status, body = ask(host, "hello.example.com")
        assert (status, "hello." in body) == (200, True), body
        if "release" in body:
            assert json.loads(body)["release"] == release["name"]


def test_a_tag_of_the_same_commit_is_the_same_release(hosts, fill):
    assert deploy(hosts, app_source=REPOSITORY | {"version": "main"}).returncode == 0
    before = [live(host)["name"] for host in hosts]
    result = deploy(hosts, app_source=REPOSITORY | {"version": "v1"})
    assert set(result.stats("changed").values()) == {0}, result.output
    assert [live(host)["name"] for host in hosts] == before


def test_going_back_to_a_release_that_is_there_only_switches(hosts, fill):
    builds = [on(host, "ls /srv/hello/releases") for host in hosts]
    result = deploy(hosts, app_source=fill({"folder": "{sources}/project"}))
    assert set(result.stats("changed").values()) == {1}, result.output
    assert [on(host, "ls /srv/hello/releases") for host in hosts] == builds
