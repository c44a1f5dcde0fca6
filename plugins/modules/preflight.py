#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents `preflight`, which runs on the controller: plugins/action/preflight.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check the settings of a role before anything changes
version_added: 0.2.0
description:
  - Converts the settings of a role by its argument spec, so that V(false), V("no"), V(off) and V(0) mean the same,
    whether they come from YAML, an INI inventory, a command line or a survey.
  - Refuses those that cannot work, with all sentences in one message. Each names the variable and its value, and says
    what to write.
  - The rules are in C(plugins/plugin_utils/checks), a file for each role.
extends_documentation_fragment: [production.fastapi.on_controller]
options:
  role:
    description: The role whose settings are checked.
    type: str
    required: true
    choices: [app, gunicorn, keepalived, nginx, redis]
  host:
    description: What M(production.fastapi.host_info) has returned.
    type: dict
    required: true
  seen:
    description:
      - What other tasks of the role have found on the host. Of P(production.fastapi.gunicorn#role) this is C(gunicorn),
        whether the virtualenv of an app without releases has that program.
      - Of P(production.fastapi.nginx#role) it is C(leaving), whether a site leaves, so that there may be none.
    type: dict
    default: {}
  step:
    description: What an operator asks of the role, by a playbook of that name, whose parameters are checked besides.
    type: str
    choices: [drain, leave, maintenance, undrain]
  thorough:
    description:
      - Read the source of the app on the controller, that of a repository too, and return RV(source) instead of
        warning.
      - Only until the app is set up on the host, and on the first of its servers.
    type: bool
    default: false
author:
  - The production.fastapi maintainers (@production-fastapi)
"""

EXAMPLES = r"""
- name: Read the host
  production.fastapi.host_info:
  register: __fastapi_host

- name: Check the settings
  production.fastapi.preflight:
    role: redis
    host: "{{ __fastapi_host }}"
  register: __redis_checked
"""

RETURN = r"""
settings:
  description: The settings of the role as it means them, without secrets.
  returned: success
  type: dict
  sample: {redis_bind: "10.0.0.5:6379", redis_allowed_addresses: [], redis_memory: 64}
derived:
  description: The plan of the role, which it works out from its settings, the inventory and the host, for tasks and
    templates. No output shows it, because it may have secrets.
  returned: success
  type: dict
  sample: {trusted_proxies: [127.0.0.1, "::1", 10.0.0.10]}
source:
  description: What a run would refuse of the source of an app, and hints what else it needs, a sentence each.
  returned: with O(thorough) for the role app
  type: dict
  sample: {refused: [], hints: ["app_shared: the app seems to write to uploads in its source; write [uploads]."]}
"""
