#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads what decides whether a host can be set up, and changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: readiness
short_description: Check a host before it is set up
version_added: 0.2.0
description:
  - Looks which programs hold ports that the roles need, whether C(ufw) lets others reach these, at disk, memory and
    clock, and whether apt can install.
  - Only returns what it finds; M(production.fastapi.host_info) with C(ready) refuses a host that is new.
options:
  host:
    description: What M(production.fastapi.host_info) has returned.
    type: dict
    required: true
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

- name: Look whether it can be set up
  production.fastapi.readiness:
    host: "{{ __fastapi_host }}"
  register: __readiness
"""

RETURN = r"""
problems:
  description: A sentence for each thing in the way.
  returned: always
  type: list
  elements: str
  sample: ["port 80 is taken by apache2: stop it and keep it from starting, or use another host."]
"""

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

TIMEOUT = 60
# Only what says which packages a source has, into a folder of its own: nothing that apt knows changes.
APT = [
    "-o=APT::Sandbox::User=root",
    "-o=APT::Update::Error-Mode=any",
    "-o=Acquire::Retries=0",
    "-o=Acquire::http::Timeout=10",
    "-o=Acquire::https::Timeout=10",
    "-o=Dir::Cache::pkgcache=",
    "-o=Dir::Cache::srcpkgcache=",
    "-o=Acquire::IndexTargets::deb::Packages::DefaultEnabled=false",
    "-o=Acquire::IndexTargets::deb::Translations::DefaultEnabled=false",
    "-o=Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false",
]


def read(root: Path) -> dict[str, Any]:
    """What the action judges."""
    began = time.time()
    updates = root / "var/lib/dpkg/updates"
    unfinished = unfinished_packages(_output("dpkg", "--audit")[1])
    return {
        "now": began,
        "listening": _output("ss", "-Hltnp")[1],
        "ufw": ufw(root),
        "unfinished": unfinished,
        "interrupted": bool(unfinished) or any(path.name.isdigit() for path in updates.glob("*")),
        "sources": sources_in_trouble(),
        "took": time.time() - began,
    }


def ufw(root: Path) -> dict[str, Any]:
    """What ufw does with `input`, and its `rules` for it; empty where it is not installed or not active."""
    settings = root / "etc/ufw"
    active = re.search(r"^ENABLED=yes$", _text(settings / "ufw.conf"), re.MULTILINE | re.IGNORECASE)
    if not active or not (root / "usr/sbin/ufw").exists():
        return {}
    policy = re.search(r'^DEFAULT_INPUT_POLICY="?(\w+)', _text(root / "etc/default/ufw"), re.MULTILINE)
    rules = re.findall(r"^### tuple ### (.+)$", _text(settings / "user.rules"), re.MULTILINE)
    return {"input": policy[1] if policy else "DROP", "rules": rules}


def unfinished_packages(audit: str) -> list[str]:
    """The packages that `dpkg --audit` names."""
    return re.findall(r"^ (\S+)(?: {2,}.*)?$", audit, re.MULTILINE)


def sources_in_trouble() -> dict[str, str]:
    """The error of each source that apt cannot read now."""
    with tempfile.TemporaryDirectory(prefix="readiness-") as lists:
        (Path(lists) / "partial").mkdir()
        status, output = _output("apt-get", "update", "--quiet", f"-o=Dir::State::Lists={lists}", *APT)
    return source_errors(output) if status else {}


def source_errors(output: str) -> dict[str, str]:
    """The sources in the output of an `apt-get update` that has failed, and what apt says of each."""
    failed = re.findall(r"^E: Failed to fetch (\S+) +(.+)$", output, re.MULTILINE)
    failed += re.findall(r"^E: The repository '(.+)' (.+)$", output, re.MULTILINE)
    others = re.findall(r"^E: (?!Some index files failed)(.+)$", output, re.MULTILINE)
    errors = {source: " ".join(error.split()).rstrip(".") for source, error in failed}
    return errors or {"list": "; ".join(others) or "it does not answer in time"}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _output(*command: str) -> tuple[int, str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout


def main() -> None:
    """Read this host. The option is for the action, which has been here before."""
    # The action of the same name has read these; what a module accepts has to be what is documented.
    module = AnsibleModule(
        argument_spec={"host": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **read(Path("/")))


if __name__ == "__main__":
    main()
