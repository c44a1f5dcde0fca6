"""Which systems the roles take: asked is for what they have, not for their names."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._server.host import os_release
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import system_problems

# ID and VERSION_ID of /etc/os-release, and the versions of Python, systemd and Nginx.
SYSTEMS = {
    "bookworm": ('ID=debian\nVERSION_ID="12"', "3.11", 252, "1.22.1-9+deb12u3"),
    "trixie": ('ID=debian\nVERSION_ID="13"', "3.13", 257, "1.26.3-3+deb13u1"),
    "testing": ("ID=debian", "3.13", 259, "1.28.0-6"),
    "noble": ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"', "3.12", 255, "1.24.0-2ubuntu7.5"),
    "resolute": ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="26.04"', "3.14", 259, "1.28.2-2ubuntu1"),
    "nginx.org": ('ID=debian\nVERSION_ID="12"', "3.11", 252, "1:1.29.4-1~bookworm"),
}


def host(release: str, python: str, systemd: int, nginx: str, **facts: Any) -> dict[str, Any]:
    read = os_release(release)
    known = {"distribution": read.get("ID", ""), "distribution_version": read.get("VERSION_ID", "")}
    known |= {"python_version": python, "systemd_version": systemd, "packages": {"nginx": nginx}, "has_apt": True}
    return known | facts


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_systems_that_have_what_is_needed(system: tuple[str, str, int, str]) -> None:
    assert system_problems(host(*system)) == []


def test_ubuntu_22_04_is_refused_in_one_sentence() -> None:
    jammy = host('ID=ubuntu\nVERSION_ID="22.04"', "3.10", 249, "1.18.0-6ubuntu14.7")
    assert system_problems(jammy) == [
        "The host runs ubuntu 22.04, whose Python is 3.10, and 3.11 or newer is needed; use Debian 12 or 13, or Ubuntu "
        "24.04 or 26.04."
    ]


def test_an_epoch_is_no_version() -> None:
    (sentence,) = system_problems(host("ID=debian\nVERSION_ID=12", "3.11", 252, "1:1.20.2-1~bookworm"))
    assert sentence.startswith("The host runs debian 12, whose Nginx is 1.20, and 1.22 or newer is needed")


def test_a_system_without_apt_is_refused() -> None:
    (sentence,) = system_problems(host("ID=fedora\nVERSION_ID=43", "3.14", 258, "", has_apt=False))
    assert sentence.startswith("The host runs fedora 43, which has no apt; use Debian 12 or 13")
