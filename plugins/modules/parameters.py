#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents `parameters`, which runs on the controller: plugins/action/parameters.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: parameters
short_description: Refuse a mistyped parameter of a playbook
version_added: 0.2.0
description:
  - Compares the names that were given with C(-e) with the parameters of a playbook. One that the playbook does not have
    and that resembles one of its own is refused with the nearest name.
  - A name that resembles none is accepted, because other programs pass their own variables.
  - C(plugins/plugin_utils/parameters.py) declares the parameters.
extends_documentation_fragment: [production.fastapi.on_controller]
options:
  playbook:
    description: The playbook of the collection, without C(.yml); C(site) has those of V(deploy).
    type: str
    required: true
    choices:
      - certs
      - deploy
      - drain
      - exec
      - lock
      - logs
      - maintenance
      - patch
      - releases
      - reload
      - remove
      - restart
      - rollback
      - status
      - undrain
author:
  - The production.fastapi maintainers (@production-fastapi)
"""

EXAMPLES = r"""
- name: Check the parameters
  production.fastapi.parameters:
    playbook: rollback
  run_once: true
"""

RETURN = ""
