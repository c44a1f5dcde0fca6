#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents `plan`, which runs on the controller: plugins/action/plan.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Work out what a playbook of the collection does
version_added: 0.2.0
description:
  - Reads the inventory and what was read of its hosts, and returns what the playbook goes by.
  - Where the playbook cannot do what it was given, it fails with all sentences in one message.
  - C(plugins/plugin_utils/plans.py) has a function for each plan.
extends_documentation_fragment: [production.fastapi.on_controller]
options:
  of:
    description: What the plan is of.
    type: str
    required: true
    choices:
      - app_command
      - app_log
      - budget
      - canary
      - certs
      - command
      - command_end
      - deploy
      - deploy_end
      - deployed
      - doctor
      - left
      - patch
      - patch_end
      - patch_todo
      - releases
      - removal
      - removed
      - schema
      - status
      - way_back
      - went_back
  given:
    description: The parameters of the playbook, and the names of variables with what was read.
    type: dict
    default: {}
author:
  - The production.fastapi maintainers (@production-fastapi)
"""

EXAMPLES = r"""
- name: Plan the order of the servers
  production.fastapi.plan:
    of: patch
    given: {only: app1}
  run_once: true
  register: planned
"""

RETURN = r"""
plan:
  description: What was worked out. Where there is something to show, C(shown) has it, as Ansible shows it best.
  returned: success
  type: dict
  sample: {machines: [{host: app1, servers: [app1], balancers: [], drains: [app1], resumes: []}], questions: []}
"""
