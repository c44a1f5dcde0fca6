#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sees to it that clients get the right release; the work is in module_utils/_deploy/verifying.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: See through Nginx which release of an app answers
version_added: 0.2.0
description:
  - Runs on a load balancer and asks Nginx on the host itself, over TLS and HTTP/1.1, with a new connection each time.
  - An answer is good when its status is below 500 and its header C(X-Release) names one of O(releases). O(successes)
    good answers in a row are asked for, which have to begin within O(within).
  - The requests come from 127.0.80.82, which the role P(production.fastapi.nginx#role) does not limit.
  - Changes nothing.
extends_documentation_fragment: [production.fastapi.through_nginx]
options:
  domain:
    description: The domain to ask for, in TLS (SNI) and as C(Host); of a wildcard the name with www is taken.
    type: str
    required: true
  path:
    description: What to ask for, with GET. Nginx does not limit these requests, whatever the path.
    type: str
    default: /healthz
  releases:
    description:
      - Any of these has to answer; servers with different Pythons have different names for what is deployed.
      - Empty for any release of the app.
    type: list
    elements: str
    default: []
  required:
    description: Whether to fail otherwise; without it RV(served) tells.
    type: bool
    default: true
  successes:
    description: Good answers in a row that it takes, from 1.
    type: int
    default: 3
  within:
    description: Seconds in which they have to begin.
    type: float
    default: 10
  timeout:
    description: Seconds for one request, more than 0.
    type: float
    default: 5
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Asks in check mode too.
    support: full
"""

EXAMPLES = r"""
- name: See that clients get the new release
  production.fastapi.verify:
    domain: shop.example.com
    releases: [4f2a9c01d3e5-8b1c2d3e]
"""

RETURN = r"""
served:
  description: Whether one of the releases answers.
  returned: always
  type: bool
problem:
  description: What was wrong with the last answer; empty when nothing was.
  returned: always
  type: str
  sample: answered 502
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._deploy.through_nginx import OPTIONS, unlimited_target
from ansible_collections.production.fastapi.plugins.module_utils._deploy.verifying import verify


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "domain": {"type": "str", "required": True},
            "path": {"type": "str", "default": "/healthz"},
            "releases": {"type": "list", "elements": "str", "default": []},
            "required": {"type": "bool", "default": True},
            "successes": {"type": "int", "default": 3},
            "within": {"type": "float", "default": 10},
            "timeout": {"type": "float", "default": 5},
            **OPTIONS,
        },
        supports_check_mode=True,
    )
    options: dict[str, Any] = module.params
    target = unlimited_target(options, options["domain"].replace("*", "www"), options["path"])
    releases = options["releases"]
    wanted = f"release {' or '.join(releases)}" if releases else "a release of the app"
    problem = verify(target, releases, options["successes"], options["within"])
    if problem and options["required"]:
        module.fail_json(
            msg=f"Clients do not get {wanted}: Nginx, asked for https://{target.domain}{target.path}, {problem}.",
            served=False,
            problem=problem,
        )
    module.exit_json(changed=False, served=not problem, problem=problem)


if __name__ == "__main__":
    main()
