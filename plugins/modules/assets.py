#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets a load balancer keep the files of open pages; the work is in module_utils/_deploy/page_assets.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: assets
short_description: Let Nginx keep the files that open pages may ask for
version_added: 0.2.0
description:
  - Runs on a load balancer and asks Nginx on the host itself for each file of each domain. Nginx keeps the answers of a
    route that is C(immutable), so the files outlive the release that the app servers have.
  - What is not there is a warning, because a deploy does not depend on it.
  - The requests come from 127.0.80.82, which the role P(production.fastapi.nginx#role) does not limit.
  - Changes nothing but what Nginx keeps.
extends_documentation_fragment: [production.fastapi.through_nginx]
options:
  domains:
    description: The domains to ask for, in TLS (SNI) and as C(Host). Wildcards are left out.
    type: list
    elements: str
    required: true
  paths:
    description: The files, as paths of the site.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds for one request, more than 0.
    type: float
    default: 5
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Asks for nothing.
    support: full
"""

EXAMPLES = r"""
- name: Let the load balancer keep the files of open pages
  production.fastapi.assets:
    domains: [shop.example.com]
    paths: [/assets/app-3f2a.js]
"""

RETURN = r"""
missing:
  description: The files that were not answered with 200, with the status or why there was none.
  returned: always
  type: dict
  sample: {/assets/app-3f2a.js: "404"}
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._deploy.page_assets import let_keep
from ansible_collections.production.fastapi.plugins.module_utils._deploy.through_nginx import OPTIONS, unlimited_target


def main() -> None:
    """Run the module."""
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "domains": {"type": "list", "elements": "str", "required": True},
            "paths": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "float", "default": 5},
            **OPTIONS,
        },
        supports_check_mode=True,
    )
    options: dict[str, Any] = module.params
    missing: dict[str, str] = {}
    for domain in [name for name in options["domains"] if "*" not in name and not module.check_mode]:
        missing = let_keep(unlimited_target(options, domain), options["paths"]) | missing
    if missing:
        path, status = next(iter(missing.items()))
        why = f"was answered {status}" if status.isdigit() else f"was not answered ({status})"
        module.warn(
            f"app_static: {len(missing)} of {len(options['paths'])} files of open pages are not kept by Nginx; {path}"
            f" {why}. On other machines than the load balancer's the app itself serves the URLs of app_static."
        )
    module.exit_json(changed=False, missing=missing)


if __name__ == "__main__":
    main()
