#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads what the roles need to know of a host, in one round trip and from a handful of files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what the roles need to know of a host
version_added: 0.1.0
description:
  - Reads a few files instead of gathering facts, and changes nothing.
  - When the variable C(__fastapi_host) holds an earlier result, that is returned and the host is not asked again.
options:
  refresh:
    description: Ask the host even though C(__fastapi_host) is known, for example after packages were installed.
    type: bool
    default: false
  candidates:
    description: Packages whose version is looked up in apt's lists where they are not installed.
    type: list
    elements: str
    default: [nginx]
  services:
    description: Services of systemd whose state is looked up.
    type: list
    elements: str
    default: [nginx, redis-server, redis-sentinel, prometheus-nginx-exporter, keepalived]
  key:
    description: A random value of the run, put there by the action plugin, by which RV(trees) is keyed.
    type: str
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Nothing ever differs.
    support: none
"""

EXAMPLES = r"""
- name: Read what the host is
  production.fastapi.host_info:
  register: __fastapi_host

- name: Read it again, now that packages were installed
  production.fastapi.host_info:
    refresh: true
  register: __fastapi_host
"""

RETURN = r"""
distribution:
  description: The C(ID) of C(/etc/os-release).
  returned: success
  type: str
  sample: debian
distribution_version:
  description: The C(VERSION_ID) of C(/etc/os-release); empty for a testing release.
  returned: success
  type: str
  sample: '12'
architecture:
  description: The machine as the kernel names it.
  returned: success
  type: str
  sample: x86_64
cpus:
  description: Processors that may be used.
  returned: success
  type: int
  sample: 2
memory_mb:
  description: Memory of the host, in MiB.
  returned: success
  type: int
  sample: 3915
memory_available_mb:
  description: Memory that new processes can have without swapping, in MiB.
  returned: success
  type: int
  sample: 2710
python_version:
  description: Version of C(/usr/bin/python3), two numbers; empty where there is none.
  returned: success
  type: str
  sample: '3.13'
has_apt:
  description: Whether packages are installed by apt.
  returned: success
  type: bool
  sample: true
systemd_version:
  description: Major version of the installed systemd; 0 if there is none.
  returned: success
  type: int
  sample: 252
packages:
  description: Version of each installed Debian package.
  returned: success
  type: dict
  sample: {nginx: 1.22.1-9+deb12u3}
candidates:
  description: Upstream version that apt would install of each package in O(candidates) that is not installed;
    a package that apt's lists do not have, or a host without lists, leaves it out.
  returned: success
  type: dict
  sample: {nginx: 1.22.1}
disk_free_mb:
  description: Space that is free for C(/srv), C(/var) and C(/), in MiB.
  returned: success
  type: dict
  sample: {/: 18211, /srv: 18211, /var: 18211}
services:
  description: Whether each service in O(services) starts at boot, and what it does now, as systemd names it.
  returned: success
  type: dict
  sample: {nginx: "enabled, active"}
drained:
  description: App servers that this load balancer gives no new requests, by their inventory names; since when (C(at),
    UTC), C(by) which playbook, and the C(reason).
  returned: success
  type: dict
  sample: {app2: {at: "2026-11-23T10:00:00Z", by: drain, reason: a new disk}}
maintenance:
  description: Sites that are in maintenance; the C(retry_after) in seconds, and the C(allow)ed addresses of each.
  returned: success
  type: dict
  sample: {shop: {retry_after: 300, allow: [192.0.2.7]}}
inventory:
  description: The name of the inventory, which the action adds - C(fastapi_inventory), or made from what
    C(ansible-playbook) was given with C(-i).
  returned: success
  type: str
  sample: production
apps:
  description: The apps that the role gunicorn has configured, each with the inventory that it came from, empty where
    that is not known.
  returned: success
  type: dict
  sample: {shop: production}
sites:
  description: The sites that the role nginx has configured, as its program for certificates knows them.
  returned: success
  type: dict
  sample: {shop: {name: shop, domains: [shop.example.com], mode: self-signed}}
left:
  description: The apps that were removed and whose data is still there, and when that was.
  returned: success
  type: dict
  sample: {blog: "2026-11-23T10:00:00+00:00"}
nginx:
  description:
    - What is served besides our sites - C(main), the text of C(nginx.conf) as it was before us, and C(main_is_package).
    - C(settings) outside of servers and C(servers), each with C(file) and C(line), and files that are C(unreadable).
    - C(default_site), whether the site that the package enables is unchanged (C(package)), C(ours) or C(theirs), and
      C(default_site_served).
  returned: success
  type: dict
  sample: {main: "user www-data; ...", main_is_package: true, default_site: package, default_site_served: true,
    settings: [], servers: [], unreadable: []}
addresses:
  description: The interface of each IPv4 address with its prefix length.
  returned: success
  type: dict
  sample: {127.0.0.1/8: lo, 10.0.0.5/24: eth0}
users:
  description: Names of the local users.
  returned: success
  type: list
  elements: str
  sample: [root, www-data]
groups:
  description: Names of the local groups.
  returned: success
  type: list
  elements: str
  sample: [root, www-data]
units:
  description: Names of the files of systemd's units.
  returned: success
  type: list
  elements: str
  sample: [getty@.service, ssh.service]
folders:
  description: What is in C(/etc), C(/run) and C(/srv).
  returned: success
  type: dict
  sample: {/etc: [hosts], /run: [lock], /srv: []}
managed:
  description: The units that each transaction of M(production.fastapi.config_tree) on this host has written.
  returned: success
  type: dict
  sample: {gunicorn-shop: [shop.socket, shop@.service]}
generations:
  description: The generation of each transaction of M(production.fastapi.config_tree), which changes with its files.
  returned: success
  type: dict
  sample: {nginx: 5d0c11aa3f1c9a0b}
trees:
  description: The digest of the files of each transaction of M(production.fastapi.config_tree) as they are now, keyed
    by O(key). That of a transaction that was killed on its way is empty.
  returned: success
  type: dict
  sample: {nginx: 5d0c11aa3f1c9a0b}
certificates:
  description: The self-signed certificate of each site, as M(production.fastapi.self_signed_certificates) needs it.
  returned: success
  type: dict
  sample: {shop: {serial: 4F1D2C, names: [shop.example.com], good: true, ours: true, linked: true}}
standing:
  description: Of each app that the role gunicorn has configured, the C(live) release, whether it is C(settled), which
    is to say that M(production.fastapi.switch) had nothing to do for it, and the C(health_path) that it has answered.
  returned: success
  type: dict
  sample: {shop: {live: 3f1c9a0b7d2e-5d0c11aa, settled: true, health_path: /healthz}}
is_systemd:
  description: Whether the host was booted with systemd.
  returned: success
  type: bool
  sample: true
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.digest import digests_on
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
    Store,
)
from ansible_collections.production.fastapi.plugins.module_utils._nginx.existing import existing

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


def read_host(root: Path, candidates: Iterable[str], services: Iterable[str]) -> dict[str, Any]:
    """Everything that the module returns, of the host whose files are below `root`."""
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


def python_version(root: Path) -> str:
    """The version in the name that `/usr/bin/python3` leads to."""
    name = (root / "usr/bin/python3").resolve().name
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
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def main() -> None:
    """Read this host."""
    module = AnsibleModule(
        argument_spec={
            "refresh": {"type": "bool", "default": False},
            "candidates": {"type": "list", "elements": "str", "default": ["nginx"]},
            "services": {"type": "list", "elements": "str", "default": SERVICES},
            "key": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    root, options = Path("/"), module.params
    host = read_host(root, options["candidates"], options["services"])
    module.exit_json(
        changed=False,
        **host,
        generations=generations(root),
        trees=digests_on(root, options["key"] or ""),
        certificates=Store(Path(DIRECTORY), RENEW_DAYS, module.run_command).survey(),
        standing={app: standing(root, app) for app in host["apps"]},
    )


if __name__ == "__main__":
    main()
