# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the roles need to know of a host, from a handful of files; M(host_info) says what each is."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._config_tree.digest import digests_on
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import is_unfinished
from ansible_collections.production.fastapi.plugins.module_utils._deploy.standing import standing
from ansible_collections.production.fastapi.plugins.module_utils._host.installed import (
    installed_apps,
    installed_sites,
    left_data,
)
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE
from ansible_collections.production.fastapi.plugins.module_utils._nginx.certificate_store import (
    DIRECTORY,
    RENEW_DAYS,
    Run,
    Store,
)
from ansible_collections.production.fastapi.plugins.module_utils._nginx.existing import existing
from ansible_collections.production.fastapi.plugins.module_utils._release.there import read_there

TIMEOUT = 30
SERVICES = ["nginx", "redis-server", "redis-sentinel", "prometheus-nginx-exporter", "keepalived"]
# Where systemd looks for units, those that it makes of scripts in /etc/init.d among them.
UNITS = [
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "run/systemd/generator.early",
    "run/systemd/generator.late",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
]


def survey(root: Path, candidates: Iterable[str], services: Iterable[str], key: str, run: Run) -> dict[str, Any]:
    """All of it: `key` is a random value of the run by which digests are keyed, `run` runs a command."""
    host = read_host(root, candidates, services)
    return host | {
        "generations": generations(root),
        "trees": digests_on(root, key),
        "certificates": Store(Path(DIRECTORY), RENEW_DAYS, run).survey(),
        "standing": {app: standing(root, app) for app in host["apps"]},
        "releases": {app: releases_of(root, app) for app in host["apps"]},
    }


def read_host(root: Path, candidates: Iterable[str], services: Iterable[str]) -> dict[str, Any]:
    """What is read of files and services alone, of the host whose files are below `root`."""
    release = os_release(_text(root / "etc/os-release"))
    memory = meminfo(_text(root / "proc/meminfo"))
    status = _text(root / "var/lib/dpkg/status")
    packages = installed_packages(status)
    systemd = re.match(r"\d+", packages.get("systemd", ""))
    missing = [name for name in candidates if name not in packages]
    lists = (root / "var/lib/apt/lists").glob("*Packages*")
    return {
        "distribution": release.get("ID", ""),
        "distribution_version": release.get("VERSION_ID", ""),
        "architecture": os.uname().machine,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": memory.get("MemTotal", 0),
        "memory_available_mb": memory.get("MemAvailable", 0),
        "python_version": python_version(root),
        "has_apt": (root / "usr/bin/apt-get").exists(),
        "systemd_version": int(systemd[0]) if systemd else 0,
        "packages": packages,
        "candidates": parse_policy(_output("apt-cache", "policy", "--", *missing)) if missing and any(lists) else {},
        "disk_free_mb": {path: disk_free_mb(root / path.lstrip("/")) for path in ("/srv", "/var", "/")},
        "services": _services(list(services)),
        "drained": asked_for(root, "drained"),
        "maintenance": asked_for(root, "maintenance"),
        "apps": installed_apps(root),
        "sites": installed_sites(root),
        "left": left_data(root),
        "nginx": existing(root, status),
        "addresses": parse_addresses(_output("ip", "-oneline", "-family", "inet", "address", "show")),
        **read_names(root),
        "is_systemd": (root / "run/systemd/system").is_dir(),
    }


def releases_of(root: Path, app: str) -> dict[str, Any]:
    """What the host has of the releases of an app; empty when the module `release` has to look itself."""
    there = read_there(root, app, own_python(root))
    return there and there | {"unfinished": is_unfinished(root, app, there["live"])}


def asked_for(root: Path, what: str) -> dict[str, Any]:
    """What operators have asked for: the content of each file of that folder, by its name."""
    return {path.name: json.loads(_text(path)) for path in sorted((root / STATE / what).glob("*"))}


def read_names(root: Path) -> dict[str, Any]:
    """The names that are in use on a host, by kind, and the units that are `managed`."""
    state = root / STATE
    return {
        "users": first_fields(_text(root / "etc/passwd")),
        "groups": first_fields(_text(root / "etc/group")),
        "units": sorted({path.name for folder in UNITS for path in (root / folder).glob("*.*") if not path.is_dir()}),
        "folders": {
            f"/{name}": sorted(path.name for path in (root / name).glob("*")) for name in ("etc", "run", "srv")
        },
        "managed": {path.stem: managed_units(_text(path)) for path in sorted(state.glob("*.json"))},
    }


def first_fields(text: str) -> list[str]:
    """The names in `/etc/passwd` or `/etc/group`."""
    return [line.split(":")[0] for line in text.splitlines() if ":" in line]


def managed_units(manifest: str) -> list[str]:
    """The units among the files of a manifest of `config_tree`; none in one that is damaged."""
    try:
        files = json.loads(manifest)["files"]
    except (KeyError, TypeError, ValueError):
        return []
    return sorted(path.rpartition("/")[2] for path in files if path.startswith("/etc/systemd/system/"))


def generations(root: Path) -> dict[str, str]:
    """The generation of each transaction of `config_tree`; empty for a manifest that is damaged."""
    found = {}
    for path in sorted((root / STATE).glob("*.json")):
        try:
            found[path.stem] = str(json.loads(_text(path))["generation"])
        except (KeyError, TypeError, ValueError):
            found[path.stem] = ""
    return found


def os_release(text: str) -> dict[str, str]:
    """The assignments in `/etc/os-release`, without their quotes."""
    return dict(part.split("=", 1) for part in shlex.split(text, comments=True) if "=" in part)


def own_python(root: Path) -> str:
    """The name that `/usr/bin/python3` leads to."""
    return (root / "usr/bin/python3").resolve().name


def python_version(root: Path) -> str:
    """The version in that name."""
    name = own_python(root)
    return name.removeprefix("python") if name.startswith("python3.") else ""


def meminfo(text: str) -> dict[str, int]:
    """The amounts of `/proc/meminfo`, in MiB."""
    return {name: int(kib) // 1024 for name, kib in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}


def installed_packages(status: str) -> dict[str, str]:
    """Name and version of each package that dpkg's status file has as installed."""
    packages = {}
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): *(.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            packages[fields["Package"]] = fields["Version"]
    return packages


def parse_policy(text: str) -> dict[str, str]:
    """Package and upstream version of the candidates in the output of `apt-cache policy`."""
    found = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?:\d+:)?([^\s(]\S*)$", text, re.MULTILINE)
    return {name: version.rsplit("-", 1)[0] for name, version in found}


def disk_free_mb(path: Path) -> int:
    """What is free, in MiB, for `path` or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free // 2**20


def parse_service(text: str) -> str:
    """UnitFileState and ActiveState in the output of `systemctl show`, in this order, as far as there are any."""
    states = dict(re.findall(r"^(\w+)=(\S+)$", text, re.MULTILINE))
    return ", ".join(states[key] for key in ("UnitFileState", "ActiveState") if key in states)


def parse_addresses(text: str) -> dict[str, str]:
    """Address with prefix length, and interface, of each line of `ip -oneline address`."""
    found = re.findall(r"^\d+: (\S+) +inet (\S+) ", text, re.MULTILINE)
    return {address if "/" in address else f"{address}/32": interface for interface, address in found}


def _services(names: list[str]) -> dict[str, str]:
    """The states of all of them by one command, which has a paragraph for each in their order."""
    properties = ("--property=UnitFileState", "--property=ActiveState")
    shown = _output("systemctl", "show", *properties, *(f"{name}.service" for name in names)) if names else ""
    return dict.fromkeys(names, "") | dict(zip(names, map(parse_service, shown.split("\n\n")), strict=False))


def _output(*command: str) -> str:
    try:
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False)  # pylint: disable=ansible-bad-function
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
