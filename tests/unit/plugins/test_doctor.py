"""What stands in the way of a first run, and what the doctor says to do."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.doctor import (
    connection_problem,
    domain_notes,
    examination,
    inventory_problems,
)

CONNECTED = "os=debian-13\npython=3.13\n"
GROUPS = {"all": ["web1"], "load_balancers": ["web1"], "app_servers": ["web1"]}


def told(**changes: Any) -> dict[str, Any]:
    return {
        "connected": {"rc": 0, "stdout": CONNECTED},
        "root": {"rc": 0, "stdout": "uid=0(root) gid=0(root)"},
        "preflight": [],
    } | changes


def problems(**changes: Any) -> list[str]:
    return examination(GROUPS, {"web1": {"seen": told(**changes)}}, "seen")["problems"]


def test_a_server_that_is_ready():
    found = examination(GROUPS, {"web1": {"seen": told()}}, "seen")
    assert found == {"problems": [], "lines": ["Ready:", "  web1 (debian-13, Python 3.13)"]}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"connected": {"rc": 0, "stdout": "os=debian-13\n"}}, "web1 has no python3, which Ansible needs there:"),
        ({"connected": {"rc": 0, "stdout": "python=3.9\n"}}, "web1 has Python 3.9; 3.11 or newer"),
        (
            {"root": {"rc": 1, "msg": "Missing sudo password"}},
            "web1: Ansible cannot become root (Missing sudo password): set ansible_become_password",
        ),
        (
            {"root": {"failed": True, "msg": "Task failed: Incorrect sudo password"}},
            "web1: Ansible cannot become root (Incorrect sudo password): correct ansible_become_password, or run with",
        ),
        (
            {"root": {"msg": ": Timeout (12s) waiting for privilege escalation prompt: "}},
            "web1: Ansible cannot become root (Timeout (12s) waiting for privilege escalation prompt:): if its sudo is "
            "sudo-rs (`sudo --version`), set ansible_become_exe to the other one, which Ubuntu has as sudo.ws and",
        ),
        (
            {"root": {"rc": 1, "stdout": "ops is not in the sudoers file."}},
            "web1: Ansible cannot become root (ops is not in the sudoers file.): add its user to the group sudo",
        ),
        ({"root": {"rc": 1}}, "web1: Ansible cannot become root (no answer): add --ask-become-pass"),
        ({"preflight": ["app_name is missing."]}, "web1: app_name is missing."),
    ],
)
def test_a_problem_is_one_sentence_with_what_to_do(changes, sentence):
    found = problems(**changes)
    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_what_the_source_asks_for_stands_once_and_at_the_end():
    source = {"refused": ["pins x.", "python y."], "hints": ["hint one.", "hint two."]}
    seen = told(source=source, preflight=["Task failed: pins x.", "app_name is missing."])
    other = told(source={"refused": [], "hints": ["hint one."]})
    groups = {**GROUPS, "app_servers": ["web1", "web2"]}
    found = examination(groups, {"web1": {"seen": seen}, "web2": {"seen": other}}, "seen")
    assert found["problems"] == ["web1: app_name is missing.", "web1: pins x.", "web1: python y."]
    title = "Hints, seen in the source of the app, which can be wrong:"
    assert found["lines"][-3:] == [title, "  hint one.", "  hint two."]


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("Failed to connect to the host via ssh: root@x: Permission denied (publickey).", "ssh-copy-id"),
        ("ssh: Could not resolve hostname x: Name or service not known", "ansible_host"),
        ("Host key verification failed.", "ssh-keygen -R"),
        ("ssh: connect to host x port 22: Connection timed out", "firewall"),
        ("ssh: connect to host x port 22: Connection refused", "ansible_port"),
        ("something new", "by hand"),
    ],
)
def test_a_server_that_cannot_be_reached(said, fix):
    sentence = connection_problem("web1", {"unreachable": True, "msg": said})
    assert sentence.startswith("web1 cannot be reached (")
    assert fix in sentence


def test_a_server_that_cannot_be_reached_is_not_examined_further():
    assert len(problems(connected={"unreachable": True, "msg": "timed out"}, root={})) == 1


@pytest.mark.parametrize(
    ("name", "hint"), [("loadbalancers", True), ("load_balancer", True), ("databases", False), ("all", False)]
)
def test_a_group_that_is_missing_or_misspelled(name, hint):
    (sentence,) = inventory_problems({"all": [], "app_servers": ["a"], name: ["b"]})
    assert sentence.startswith("The inventory has no host in the group load_balancers")
    assert (f"rename the group {name}" in sentence) is hint


@pytest.mark.parametrize(
    ("domain", "note"),
    [
        ("here.example.com", ""),
        ("*.here.example.com", ""),
        ("203.0.113.9", ""),
        (
            "nowhere.example.com",
            "nowhere.example.com does not resolve: add a record to its DNS zone that points to 203.0.113.10.",
        ),
        (
            "elsewhere.example.com",
            "elsewhere.example.com points to 198.51.100.1, and the load balancers are 203.0.113.10",
        ),
    ],
)
def test_a_domain_has_to_lead_to_a_load_balancer(domain, note):
    zone = {
        "here.example.com": {"203.0.113.10"},
        "www.here.example.com": {"203.0.113.10"},
        "elsewhere.example.com": {"198.51.100.1"},
    }
    hostvars = {"web1": {"ansible_host": "203.0.113.10", "app_domains": [domain]}}
    found = list(domain_notes(GROUPS, hostvars, lambda name: zone.get(name, set())))
    assert len(found) == bool(note)
    assert not note or found[0].startswith(note)
