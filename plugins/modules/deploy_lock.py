#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps two deploys of an app apart; the work is in module_utils/_deploy/locking.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_lock
short_description: Keep two deploys of an app apart
version_added: 0.2.0
description:
  - The lock is the file C(/var/lib/production.fastapi/NAME/deploy.lock) of a server. It says who deploys what, from
    where, since when and until when.
  - It belongs to the process of C(ansible-playbook). While that process goes on it renews the lock; when it was killed,
    a deploy from the same machine takes over at once, one from elsewhere when O(timeout) is over.
  - M(production.fastapi.switch) refuses to change the live release while another deploy holds the lock.
options:
  name:
    description: The app.
    type: str
    required: true
  state:
    description:
      - V(taken) takes the lock, renews the own one, and fails with a sentence about who deploys otherwise.
      - V(kept) renews its own lock, and fails if an operator has broken it.
      - V(released) releases its own lock, and leaves that of another deploy.
      - V(shown) tells who holds it.
      - V(broken) removes it, whoever holds it. A deploy that still runs ends at its next step.
    type: str
    choices: [taken, kept, released, shown, broken]
    default: taken
  owner:
    description: Who deploys and from where, as V(anna@laptop).
    type: str
    default: ''
  deploys:
    description: The release or its source, for the sentence that others read.
    type: str
    default: ''
  before:
    description: The release that is live when the deploy begins.
    type: str
    default: ''
  timeout:
    description: Seconds from the last sign of life to the end of the lock, from 1.
    type: float
    default: 900
  controller:
    description: The process that deploys; the action finds it out.
    type: dict
    default: {}
  instead_of:
    description: A deploy whose process is gone, and whose lock may be taken; the action finds it out.
    type: str
    default: ''
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Tells what it would do, and fails where it would.
    support: full
"""

EXAMPLES = r"""
- name: Acquire the deploy lock
  production.fastapi.deploy_lock:
    name: shop
    owner: anna@laptop
    deploys: 4f2a9c01d3e5-8b1c2d3e
  register: lock

- name: Release the deploy lock
  production.fastapi.deploy_lock:
    name: shop
    state: released

- name: See who deploys
  production.fastapi.deploy_lock:
    name: shop
    state: shown
"""

RETURN = r"""
sentence:
  description: A sentence about who holds the lock, if anyone. After O(state=broken), who held it.
  returned: when O(state=shown) or O(state=broken)
  type: str
  sample: anna@laptop deploys shop (4f2a9c01d3e5-8b1c2d3e) since 14:02 UTC (3 min), until 14:17 UTC unless it goes on.
deploy:
  description: Names the deploy that holds the lock, for the option of this name of M(production.fastapi.switch).
  returned: when O(state=taken) or O(state=kept)
  type: str
  sample: 0b5e6a1c9d3f7e21
before:
  description:
    - The release that was live when the deploy began. Of a deploy that has taken over from a killed one, that of the
      killed one.
  returned: when O(state=taken) or O(state=kept)
  type: str
  sample: 17ab3c9d0e1f-8b1c2d3e
lock:
  description: The lock in the file, or the one in the way; empty when there is none.
  returned: always
  type: dict
  contains:
    owner:
      description: Who deploys and from where.
      type: str
    deploys:
      description: What.
      type: str
    controller:
      description: The process that deploys, by host, boot, process namespace, number and start time.
      type: dict
    since:
      description: When the deploy began, in seconds since 1970.
      type: float
    expires:
      description: When the lock ends unless it is renewed, in seconds since 1970.
      type: float
    before:
      description: The release that was live when the deploy began.
      type: str
"""

import os
import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import (
    DeployLock,
    Lock,
    LockError,
    deploy_of,
)

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["taken", "kept", "released", "shown", "broken"], "default": "taken"},
    "owner": {"type": "str", "default": ""},
    "deploys": {"type": "str", "default": ""},
    "before": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 900},
    "controller": {"type": "dict", "default": {}},
    "instead_of": {"type": "str", "default": ""},
}


def main() -> None:
    """Run the module."""
    os.umask(0o022)
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options: dict[str, Any] = module.params
    if options["timeout"] < 1:
        module.fail_json(msg=f"timeout is {options['timeout']:g}; write a number of seconds from 1.")
    if module.check_mode and options["state"] not in {"shown", "taken"}:
        module.exit_json(changed=True, lock={}, deploy="", before="", sentence="")
    try:
        module.exit_json(**act(options, check=module.check_mode))
    except LockError as error:
        module.fail_json(msg=str(error), lock=as_dict(error.lock))


def act(options: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Do what `state` says; raises LockError."""
    lock = DeployLock(options["name"])
    controller, timeout = options["controller"], options["timeout"]
    if options["state"] == "taken":
        if check:
            return {"changed": True, "deploy": "", "before": options["before"], "lock": {}}
        held = lock.take(
            options["owner"],
            options["deploys"],
            controller,
            timeout,
            before=options["before"],
            instead_of=options["instead_of"],
        )
        return {"changed": True, "deploy": held.deploy, "before": held.before, "lock": as_dict(held)}
    if options["state"] == "kept":
        held = lock.keep(deploy_of(controller), timeout)
        return {"changed": False, "deploy": held.deploy, "before": held.before, "lock": as_dict(held)}
    if options["state"] == "released":
        return {"changed": lock.release(deploy_of(controller)), "lock": {}}
    broken = options["state"] == "broken"
    found = lock.break_() if broken else lock.read()
    nobody = f"Nobody deploys {options['name']}."
    sentence = found.sentence(options["name"], time.time()) if found else nobody
    if broken and found:
        sentence = f"The lock is broken. It said: {sentence}"
    return {"changed": bool(broken and found), "sentence": sentence, "lock": as_dict(found)}


def as_dict(lock: Lock | None) -> dict[str, Any]:
    """The lock as the module returns it."""
    return asdict(lock) if lock else {}


if __name__ == "__main__":
    main()
