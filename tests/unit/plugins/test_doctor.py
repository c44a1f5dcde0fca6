"""What stands in the way of a first run, and what the doctor says to do."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.doctor import (
    connection_problem,
    domain_notes,
    examination,
    inventory_problems,
    listeners,
)

CONNECTED = "asked=1000.5\nclock=1001\nos=debian-13\npython=3.13\n"
LISTENING = """\
LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=61,fd=3))
LISTEN 0      511        127.0.0.1:631       0.0.0.0:*    users:(("cupsd",pid=70,fd=7))
LISTEN 0      511             [::]:80           [::]:*    users:(("nginx",pid=900,fd=6),("nginx",pid=901,fd=6))
LISTEN 0      4096      10.0.0.5:8000        0.0.0.0:*    users:(("systemd",pid=1,fd=40))
"""
GROUPS = {"all": ["web1"], "load_balancers": ["web1"], "app_servers": ["web1"]}


def told(**changes: Any) -> dict[str, Any]:
    return {
        "connected": {"rc": 0, "stdout": CONNECTED},
        "root": {"rc": 0, "stdout": "uid=0(root) gid=0(root)"},
        "listening": {"rc": 0, "stdout": LISTENING},
        "preflight": [],
    } | changes


def problems(**changes: Any) -> list[str]:
    return examination(GROUPS, {"web1": {"gunicorn_bind": "10.0.0.5:8000", "seen": told(**changes)}}, "seen")[
        "problems"
    ]


def test_a_server_that_is_ready():
    found = examination(GROUPS, {"web1": {"seen": told()}}, "seen")
    assert found == {"problems": [], "lines": ["Ready:", "  web1 (debian-13, Python 3.13)"]}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"connected": {"rc": 0, "stdout": "asked=1\nclock=1\n"}}, "web1 has no python3, which Ansible needs there:"),
        ({"connected": {"rc": 0, "stdout": "asked=1\nclock=1\npython=3.9\n"}}, "web1 has Python 3.9; 3.11 or newer"),
        (
            {"connected": {"rc": 0, "stdout": CONNECTED.replace("1001", "900")}},
            "The clock of web1 is 100 s behind this machine's",
        ),
        (
            {"connected": {"rc": 0, "stdout": CONNECTED.replace("1001", "1100")}},
            "The clock of web1 is 100 s ahead of this machine's",
        ),
        (
            {"root": {"rc": 1, "msg": "Missing sudo password"}},
            "web1: Ansible cannot become root (Missing sudo password): add --ask-become-pass",
        ),
        (
            {"listening": {"stdout": LISTENING.replace('"nginx",pid=900', '"apache2",pid=900')}},
            "web1: port 80 is taken by apache2: stop it",
        ),
        (
            {"listening": {"stdout": LISTENING.replace('"systemd"', '"python3"')}},
            "web1: port 8000 is taken by python3: stop it",
        ),
        ({"preflight": ["app_name is missing."]}, "web1: app_name is missing."),
    ],
)
def test_a_problem_is_one_sentence_with_what_to_do(changes, sentence):
    found = problems(**changes)
    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_a_member_of_a_redis_group_needs_the_port_of_sentinel():
    hostvars = {f"redis{n}": {"redis_bind": f"10.0.0.{n}:6379", "seen": told()} for n in (1, 2, 3)}
    line = 'LISTEN 0 5 10.0.0.2:26379 0.0.0.0:* users:(("java",pid=9,fd=4))'
    hostvars["redis2"]["seen"]["listening"]["stdout"] = line
    groups = {"redis_servers": list(hostvars)}
    taken = "redis2: port 26379 is taken by java: stop it"
    assert taken in str(examination(groups, hostvars, "seen")["problems"])
    assert taken not in str(examination({"redis_servers": ["redis2"]}, hostvars, "seen")["problems"])


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


def test_listeners_on_loopback_are_in_nobodys_way():
    assert listeners(LISTENING) == [("22", "sshd"), ("80", "nginx"), ("8000", "systemd")]


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
