#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives a host the packages and users that it lacks, and reads it again, in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_setup
short_description: Install packages and make system users, and read the host again
version_added: 0.2.0
description:
  - Installs those of O(packages) that the host lacks, by one call of apt, and makes those of O(users) that it lacks.
  - Returns what M(production.fastapi.host_info) returns, as it is then. A host that lacks nothing is not asked.
options:
  host:
    description: What M(production.fastapi.host_info) has returned.
    type: dict
    required: true
  packages:
    description: Names of Debian packages.
    type: list
    elements: str
    default: []
  also:
    description:
      - What M(production.fastapi.preflight) has returned for all roles of the host in this run. What these lack is
        installed too, so that one call of apt does for all; not in check mode.
    type: list
    elements: dict
    default: []
  held:
    description: Services that a package of their name does not start when it is installed.
    type: list
    elements: str
    default: []
  users:
    description: System users who cannot log in.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name.
        type: str
        required: true
      home:
        description: The home folder, which is not made.
        type: str
        required: true
  key:
    description: A random value of the run, put there by the action plugin.
    type: str
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Asks apt what it would do.
    support: full
  diff_mode:
    description: Shows no differences.
    support: none
"""

EXAMPLES = r"""
- name: Install what is missing
  production.fastapi.host_setup:
    host: "{{ __fastapi_host }}"
    packages: [nginx, openssl]
    held: [nginx]
  register: __fastapi_host
"""

RETURN = r"""
made:
  description: The users that were made.
  returned: always
  type: list
  elements: str
  sample: [shop]
would:
  description: What check mode would do; empty outside of it.
  returned: always
  type: str
  sample: apt would install nginx
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._server.host import (
    SERVICES,
    first_fields,
    installed_packages,
    survey,
)
from ansible_collections.production.fastapi.plugins.module_utils._server.setup import (
    SetupError,
    install,
    make_user,
    would_install,
)

ROOT = Path("/")


def packages_now() -> dict[str, str]:
    """The packages that dpkg has as installed now."""
    return installed_packages((ROOT / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace"))


def main() -> None:
    """Set up this host with what the action has found missing."""
    os.umask(0o022)
    names = {"type": "list", "elements": "str", "default": []}
    user = {"name": {"type": "str", "required": True}, "home": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "dict", "required": True},
            "packages": names,
            "also": {"type": "list", "elements": "dict", "default": []},
            "held": names,
            "users": {"type": "list", "elements": "dict", "default": [], "options": user},
            "key": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    options: dict[str, Any] = module.params
    packages, users = options["packages"], options["users"]
    if module.check_mode:
        wanted = bool(packages) and would_install(packages)
        module.exit_json(changed=wanted or bool(users), packages_wanted=wanted)
    before = packages_now()
    try:
        if packages:
            install(packages, options["held"])
        for each in users:
            make_user(each, first_fields((ROOT / "etc/group").read_text(encoding="utf-8")))
    except SetupError as error:
        module.fail_json(msg=str(error))
    host = survey(ROOT, ["nginx"], SERVICES, options["key"] or "", module.run_command)
    changed = bool(users) or host["packages"] != before
    module.exit_json(changed=changed, made=[each["name"] for each in users], **host)


if __name__ == "__main__":
    main()
