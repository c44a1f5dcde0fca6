# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host has to be for any of the roles, and what a check may look at besides the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# What the roles need, and where it is; which names have it is nobody's business but that of the sentences.
PYTHON = (3, 11)
SYSTEMD = 252
NGINX = (1, 22)
SYSTEMS = "Debian 12 or 13, or Ubuntu 24.04 or 26.04"


@dataclass(frozen=True)
class View:
    """The inventory as one host sees it, and the host as `host_info` has read it."""

    host: str
    facts: Mapping[str, Any]
    groups: Mapping[str, Sequence[str]]
    hostvars: Mapping[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict)  # of the host, as a task of the role has them
    seen: Mapping[str, Any] = field(default_factory=dict)  # what other tasks of the role have found on the host


def system_problems(host: Mapping[str, Any]) -> list[str]:
    """A sentence when the system of a host lacks what the roles need; what `host_info` does not know is not asked."""
    lacking = next(lacks(host), "")
    if not lacking:
        return []
    system = f"{host['distribution']} {host['distribution_version']}".strip() or "an unknown system"
    return [f"The host runs {system}, {lacking}; use {SYSTEMS}."]


def lacks(host: Mapping[str, Any]) -> Iterator[str]:
    """What a system has not, in words."""
    if not host.get("has_apt", True):
        yield "which has no apt"
    python = numbers(host.get("python_version"))
    if python and python < PYTHON:
        yield f"whose Python is {host['python_version']}, and {'.'.join(map(str, PYTHON))} or newer is needed"
    systemd = host.get("systemd_version") or SYSTEMD
    if systemd < SYSTEMD:
        yield f"whose systemd is {systemd}, and {SYSTEMD} or newer is needed"
    nginx = numbers(host.get("packages", {}).get("nginx") or host.get("candidates", {}).get("nginx"))
    if nginx and nginx < NGINX:
        yield f"whose Nginx is {'.'.join(map(str, nginx))}, and {'.'.join(map(str, NGINX))} or newer is needed"


def numbers(version: Any) -> tuple[int, ...]:
    """The first two numbers of a version, as `1:1.24.0-2ubuntu7` has them; none where there is no version."""
    parts = str(version or "").rpartition(":")[2].replace("-", ".").split(".")[:2]
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(map(str.isdigit, parts)) else ()
