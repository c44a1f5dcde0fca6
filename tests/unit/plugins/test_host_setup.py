"""A host gets the packages and users that it lacks, by one call of apt, and nobody starts what is held."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.action.host_setup import missing, would
from ansible_collections.production.fastapi.plugins.module_utils._server import setup
from ansible_collections.production.fastapi.plugins.module_utils._server.setup import (
    SetupError,
    install,
    make_user,
    would_install,
)

HOST = {"packages": {"openssl": "3"}, "users": ["root"]}
USERS = [{"name": "shop_", "home": "/nonexistent"}, {"name": "shop", "home": "/srv/shop/shared"}]
ALSO = [{}, {"derived": {"missing": ["nginx", "git"], "held": ["nginx"]}}]
OPTIONS = {"packages": ["openssl", "git"], "also": ALSO, "held": ["exporter"], "users": USERS}


class Apt:
    """Notes the commands, and answers with what is given for each, then with success."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers, self.commands = list(answers), list[Sequence[str]]()

    def __call__(self, words: Sequence[str]) -> tuple[int, str]:
        self.commands.append(words)
        return self.answers.pop(0) if self.answers else (0, "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("usr/sbin", "run", "var/lib/apt/lists"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib/apt/lists/debian_Packages").touch()
    return tmp_path


def test_only_what_the_host_lacks_is_asked_for_and_each_once() -> None:
    lacks = missing(HOST, OPTIONS, check_mode=False)
    assert lacks == {"packages": ["git", "nginx"], "held": ["nginx"], "users": USERS}
    everything = {"packages": dict.fromkeys(("openssl", "git", "nginx"), "1"), "users": ["shop", "shop_"]}
    assert missing(everything, OPTIONS, check_mode=False) == {"packages": [], "held": [], "users": []}


def test_check_mode_tells_what_this_role_would_do() -> None:
    lacks = missing(HOST, OPTIONS, check_mode=True)
    assert lacks["packages"] == ["git"]
    told = would(lacks, {"packages_wanted": True})
    assert told == "apt would install git; the system users shop_ and shop would be made"
    # Something else provides it.
    assert would({**lacks, "users": []}, {"packages_wanted": False}) == ""


def test_check_mode_believes_apt_when_another_package_provides_a_name() -> None:
    assert not would_install(["libmagic1"], Apt((0, "libmagic1t64 is already the newest version\n")))
    assert would_install(["git"], Apt((0, "Inst git (1:2 Debian)\nConf git\n")))
    assert would_install(["git"], Apt((100, "E: Unable to locate package git")))


def test_apt_reads_its_lists_when_they_are_old_or_empty(root: Path) -> None:
    def reads() -> bool:
        apt = Apt()
        install(["git"], root=root, run=apt)
        assert apt.commands[-1][-1] == "git"
        return apt.commands[0][1] == "update"

    assert not reads()
    lists = root / "var/lib/apt/lists"
    os.utime(lists, (0, time.time() - 3601))
    assert reads()
    (root / "var/lib/apt/periodic").mkdir()
    (root / "var/lib/apt/periodic/update-success-stamp").touch()
    assert not reads()
    (lists / "debian_Packages").unlink()
    assert reads()


def test_another_apt_is_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    busy = (100, "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)")
    apt = Apt(busy, busy)
    install(["git"], root=root, run=apt)
    assert len(apt.commands) == 3
    monkeypatch.setattr(setup, "LOCK_TIMEOUT", -1)
    with pytest.raises(SetupError, match=r"^apt cannot install git: Could not get lock .* held by process 7"):
        install(["git"], root=root, run=Apt(busy))


def test_what_apt_says_is_told(root: Path) -> None:
    refused = Apt((100, "Reading package lists...\nE: Unable to locate package gitt\n"))
    with pytest.raises(SetupError, match=r"^apt cannot install gitt: Unable to locate package gitt$"):
        install(["gitt"], root=root, run=refused)


def test_a_name_that_stands_for_others_comes_with_theirs(root):
    said = "Package netcat is a virtual package provided by:\n  netcat-openbsd 1.2\n  netcat-openbsd:i386 1\n\n"
    refused = Apt((100, f"{said}E: Package 'netcat' has no installation candidate\n"))
    named = "candidate; name netcat-openbsd or netcat-openbsd:i386 instead of netcat$"
    with pytest.raises(SetupError, match=rf"^apt cannot install netcat: Package 'netcat' has no installation {named}"):
        install(["netcat"], root=root, run=refused)


def answer(policy: Path, unit: str) -> int:
    return subprocess.run([policy, unit, "start"], check=False).returncode


def test_a_held_service_is_not_started_by_its_package(root: Path) -> None:
    policy, answers = root / "usr/sbin/policy-rc.d", {}

    def apt(_words: Sequence[str]) -> tuple[int, str]:
        answers.update(
            {unit: answer(policy, unit) for unit in ("nginx.service", "nginx", "redis-server", "ssh.service")}
        )
        left = root / "left"
        left.write_text(policy.read_text())
        left.chmod(0o755)
        return 0, ""

    install(["nginx"], ["nginx"], root=root, run=apt)
    assert answers == {"nginx.service": 101, "nginx": 101, "redis-server": 0, "ssh.service": 0}
    assert not policy.exists()
    # That of a run that was killed forbids nothing.
    assert answer(root / "left", "nginx.service") == 0


def test_the_policy_goes_after_a_failure_and_that_of_the_host_stays(root: Path) -> None:
    policy = root / "usr/sbin/policy-rc.d"
    with pytest.raises(SetupError):
        install(["nginx"], ["nginx"], root=root, run=Apt((100, "E: no")))
    assert not policy.exists()
    policy.write_text("#!/bin/sh\nexit 0\n")
    install(["nginx"], ["nginx"], root=root, run=Apt())
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_user_cannot_log_in_and_takes_the_group_of_its_name() -> None:
    useradd = Apt()
    make_user(USERS[1], ["root"], useradd)
    make_user(USERS[1], ["root", "shop"], useradd)
    first, second = (" ".join(words) for words in useradd.commands)
    assert first == "useradd --system --home-dir /srv/shop/shared --no-create-home --shell /usr/sbin/nologin shop"
    assert second.endswith("--gid shop shop")
    with pytest.raises(SetupError, match=r"^The user shop cannot be made: no room$"):
        make_user(USERS[1], [], Apt((1, "no room\n")))
