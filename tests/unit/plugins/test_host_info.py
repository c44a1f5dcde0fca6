"""A host is read from its files, and only once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.action.host_info import known_host
from ansible_collections.production.fastapi.plugins.module_utils._server import host as host_info

STATUS = """\
Package: systemd
Status: install ok installed
Version: 252.39-1~deb12u2
Description: system and service manager
 Version: 1 of a continuation line is none

Package: held
Status: hold ok installed
Version: 1:2.0-1

Package: removed
Status: deinstall ok config-files
Version: 3.0-1
"""
POLICY = """\
nginx:
  Installed: (none)
  Candidate: 1.22.1-9+deb12u3
  Version table:
     1.22.1-9+deb12u3 500
redis:
  Installed: (none)
  Candidate: 5:7.0.15-1~deb12u5
  Version table:
virtual:
  Installed: (none)
  Candidate: (none)
  Version table:
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n# a comment\n',
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n",
        "proc/meminfo": "MemTotal:  4009012 kB\nMemFree:  1 kB\nMemAvailable:    2775040 kB\nHugePages_Total: 0\n",
        "var/lib/dpkg/status": STATUS,
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_host_is_read_from_its_files(root: Path) -> None:
    (root / "usr/bin").mkdir(parents=True)
    for name in ("python3.11", "apt-get"):
        (root / "usr/bin" / name).touch()
    (root / "usr/bin/python3").symlink_to("python3.11")
    (root / "run/systemd/system").mkdir(parents=True)
    host = host_info.read_host(root, [], [])
    free = host.pop("disk_free_mb")
    assert set(free) == {"/srv", "/var", "/"}
    assert all(amount > 0 for amount in free.values())
    # Those of the machine that runs the test.
    assert host.pop("addresses").get("127.0.0.1/8", "lo") == "lo"
    assert host.pop("nginx")["servers"] == []
    assert host == {
        "distribution": "debian",
        "distribution_version": "12",
        "architecture": os.uname().machine,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": 3915,
        "memory_available_mb": 2710,
        "systemd_version": 252,
        "python_version": "3.11",
        "has_apt": True,
        "packages": {"systemd": "252.39-1~deb12u2", "held": "1:2.0-1"},
        "candidates": {},
        "services": {},
        "drained": {},
        "maintenance": {},
        "apps": {},
        "sites": {},
        "left": {},
        "users": ["root", "www-data"],
        "groups": [],
        "units": [],
        "folders": {"/etc": ["os-release", "passwd"], "/run": ["systemd"], "/srv": []},
        "managed": {},
        "is_systemd": True,
    }


def test_what_operators_have_asked_for_is_a_file_each(root: Path) -> None:
    for name, text in (("drained/app2", '{"by": "drain"}'), ("maintenance/shop", '{"retry_after": 60, "allow": []}')):
        file = root / "var/lib/production.fastapi" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    host = host_info.read_host(root, [], [])
    assert host["drained"] == {"app2": {"by": "drain"}}
    assert host["maintenance"] == {"shop": {"retry_after": 60, "allow": []}}


def test_a_host_without_any_of_it_has_empty_values(tmp_path: Path) -> None:
    host = host_info.read_host(tmp_path, ["nginx"], [])
    assert host["distribution"] == host["distribution_version"] == ""
    assert host["packages"] == host["candidates"] == {}
    assert (host["systemd_version"], host["memory_mb"], host["users"], host["is_systemd"]) == (0, 0, [], False)


def test_candidates_are_upstream_versions() -> None:
    assert host_info.parse_policy(POLICY) == {"nginx": "1.22.1", "redis": "7.0.15"}


@pytest.mark.parametrize(
    ("lists", "installed", "asked"),
    [(True, False, [["nginx"]]), (True, True, []), (False, False, [])],
    ids=["not installed", "installed", "no lists"],
)
def test_apt_is_asked_only_for_what_it_can_tell(
    root: Path, monkeypatch: pytest.MonkeyPatch, lists: bool, installed: bool, asked: list[list[str]]
) -> None:
    calls: list[list[str]] = []

    def policy(*command: str) -> str:
        if command[0] != "apt-cache":
            return ""
        calls.append(list(command[3:]))
        return POLICY

    monkeypatch.setattr(host_info, "_output", policy)
    if lists:
        (root / "var/lib/apt/lists").mkdir(parents=True)
        (root / "var/lib/apt/lists/debian_main_binary-amd64_Packages").touch()
    if installed:
        with (root / "var/lib/dpkg/status").open("a") as status:
            status.write("\nPackage: nginx\nStatus: install ok installed\nVersion: 1.22.1-9\n")
    host = host_info.read_host(root, ["nginx", "systemd"], [])
    assert calls == asked
    assert host["candidates"].get("nginx") == ("1.22.1" if asked else None)


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        ("ActiveState=active\nUnitFileState=enabled\n", "enabled, active"),
        ("ActiveState=failed\nUnitFileState=disabled\n", "disabled, failed"),
        ("ActiveState=inactive\nUnitFileState=\n", "inactive"),
        ("", ""),
    ],
)
def test_a_service_is_what_systemd_calls_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, shown: str, state: str
) -> None:
    monkeypatch.setattr(host_info, "_output", lambda *command: shown if command[-1] == "nginx.service" else "")
    assert host_info.read_host(root, [], ["nginx"])["services"] == {"nginx": state}


@pytest.mark.parametrize(
    "unusable",
    [None, "text", {}, {"skipped": True, "packages": {}}, {"failed": True, "packages": {}}, {"changed": False}],
)
def test_a_result_that_tells_nothing_is_not_reused(unusable: Any) -> None:
    assert known_host(unusable) is None


def test_a_known_host_is_reused_without_what_was_about_the_task() -> None:
    assert known_host({"packages": {"a": "1"}, "changed": True, "failed": False, "warnings": ["w"]}) == {
        "packages": {"a": "1"}
    }


def test_addresses_have_their_interface() -> None:
    text = (
        "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n"
        "12: eth0    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\\   valid_lft forever preferred_lft forever\n"
        "12: eth0    inet 10.0.0.100/32 scope global eth0\\   valid_lft forever preferred_lft forever\n"
        "13: wg0    inet 10.9.0.1 peer 10.9.0.2/32 scope global wg0\\       valid_lft forever preferred_lft forever\n"
    )
    assert host_info.parse_addresses(text) == {
        "127.0.0.1/8": "lo",
        "10.0.0.5/24": "eth0",
        "10.0.0.100/32": "eth0",
        "10.9.0.1/32": "wg0",
    }
