"""What a deploy that went wrong leaves to `rollback`, and what a probe sees on a path that is limited."""

import json
import os
import re
import signal

import pytest
import testinfra
from hello import NAMES, live, load_on, make_source, release_of
from plays import ROOT, play
from test_deploys import APP, DEPLOY, running

ROLLBACK = ROOT / "playbooks" / "rollback.yml"


@pytest.fixture(scope="module")
def hosts():
    return [testinfra.get_host(f"docker://{name}") for name in NAMES]


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    def make(name):
        folder = tmp_path_factory.mktemp("source") / "app"
        make_source(APP, folder)
        (folder / "edition.py").write_text(f"NAME = FATE = {name!r}\n")
        return {"folder": str(folder)}

    return make


def said_of(hosts, release):
    """The last word of the history of each host about a release."""
    words = []
    for host in hosts:
        lines = host.file("/var/lib/production.fastapi/hello/history.jsonl").content_string.splitlines()
        words.append([event["event"] for event in map(json.loads, lines) if event["release"] == release][-1])
    return words


@pytest.fixture(scope="module")
def two_releases(hosts, edition):
    """Two good releases, the second live, on an Nginx that limits every path that is asked."""
    limited = {"nginx_rate_limit_mode": "enforce", "nginx_rate_limit_exempt": [], "app_receipt_folder": ""}
    names = []
    for name in ("good", "better"):
        said = play(app_source=edition(name), **limited).succeeded()
        names.append(release_of(hosts[0]))
    # The probe asks twice as often as Nginx lets a client, and is not limited.
    assert re.search(r"[0-9,]+ requests of the probe for /readyz through Nginx, 0 failed\"?( |$)", said.text), said.text
    assert "rate limit" not in said.text
    return names


def test_what_a_deploy_has_withdrawn_is_not_rolled_back_to(hosts, edition, two_releases):
    good, better = two_releases
    failed = play(
        playbook=DEPLOY,
        app_source=edition("withdrawn"),
        app_after_switch=["python step.py after 0 1"],
        app_receipt=False,
        app_environment={"TOKEN": "hunter2-and-more", "NEW": "1"},
    )
    assert failed.returncode != 0
    withdrawn = re.search(r"hello (\S+) was not deployed\.", failed.text)[1]
    assert f"{withdrawn} is recorded as failed" in failed.text
    assert re.search(r"stays on \S+ and \S+: /etc/hello/environment\.", failed.text)
    assert said_of(hosts, withdrawn) == ["failed", "failed"]
    assert [release_of(host) for host in hosts] == [better, better]
    refused = play(playbook=ROLLBACK, release=withdrawn)
    assert refused.returncode != 0
    assert f"Release {withdrawn} of hello failed when it was to become live" in refused.text
    play(playbook=ROLLBACK).succeeded()
    assert [release_of(host) for host in hosts] == [good, good]
    assert live(hosts) == "good"


def test_after_a_killed_deploy_all_servers_go_back_to_what_it_found(hosts, edition, two_releases):
    good, _better = two_releases
    process = running(edition("killed"), until="Verify")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed = release_of(hosts[0])
    assert killed != good
    assert said_of(hosts, killed) == ["tried", "tried"]
    with load_on(*NAMES):
        play(playbook=ROLLBACK).succeeded()
    assert [release_of(host) for host in hosts] == [good, good]
    refused = play(playbook=ROLLBACK, release=killed)
    assert f"The deploy of release {killed} of hello was interrupted" in refused.text
