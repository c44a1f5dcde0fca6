#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists the releases of an app, chooses one to go back to, removes old ones; see module_utils/_deploy/listing.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: releases
short_description: List the releases of an app, choose the one to go back to, remove old ones
version_added: 0.2.0
description:
  - Reads what M(production.fastapi.release) has built, what systemd runs, and the history that
    M(production.fastapi.switch) writes. Sizes are not looked at, so it is quick with any number of releases.
options:
  name:
    description: The app; units are C(NAME@RELEASE.service).
    type: str
    required: true
  directory:
    description: Folder of the app, with C(releases) and C(current) in it. Empty is C(/srv/NAME).
    type: str
    default: ''
  state:
    description:
      - V(listed) only looks.
      - V(chosen) only looks too, and fails when there is no release to go back to.
      - V(ended) records that the deploy of O(release) has ended as O(outcome) says, removes releases, and gives back
        the lock of O(deploy). The O(keep) that were built or made live last stay, and so do in any case the live one,
        the one before, and what runs or would start with the host. What killed builds have left goes, too, unless a
        build is under way.
    type: str
    choices: [listed, chosen, ended]
    default: listed
  release:
    description:
      - With O(state=chosen), the release to go back to; the beginning of its name is enough. Empty is the one before,
        or after a deploy that was killed the one that it had found live.
      - With O(state=ended), the release that was deployed.
    type: str
    default: ''
  insist:
    description: With O(state=chosen), whether a release is chosen although it failed when it was to become live, or its
      deploy was interrupted.
    type: bool
    default: false
  keep:
    description: With O(state=ended), how many complete releases stay, with the live one and the one before, from 1.
    type: int
    default: 5
  deploy:
    description: With O(state=ended), the deploy whose lock is given back, as M(production.fastapi.deploy_lock) names
      it.
    type: str
    default: ''
  outcome:
    description: With O(state=ended), whether the release is V(live), or was withdrawn and so has V(failed).
    type: str
    choices: [live, failed]
    default: live
  before:
    description: With O(state=ended), the release that was live when the deploy began; empty for none.
    type: str
    default: ''
  by:
    description: With O(state=ended), who has deployed, as V(anna@laptop).
    type: str
    default: ''
  reason:
    description: With O(state=ended), what went wrong.
    type: str
    default: ''
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: The names of what is removed are in the result.
    support: none
"""

EXAMPLES = r"""
- name: See what is there
  production.fastapi.releases:
    name: shop
  register: shop

- name: Find the release before
  production.fastapi.releases:
    name: shop
    state: chosen
  register: shop
"""

RETURN = r"""
name:
  description: The app.
  returned: success
  type: str
  sample: shop
live:
  description: The release that serves now; empty when none does.
  returned: success
  type: str
  sample: 4f2a9c01d3e5-8b1c2d3e
previous:
  description: The release before, that is the last one that was live, is not live now, is complete, has not failed
    since, and whose deploy was not interrupted. Empty when there is none.
  returned: success
  type: str
  sample: 17ab3c9d0e1f-8b1c2d3e
chosen:
  description: The release to go back to.
  returned: when O(state=chosen)
  type: str
  sample: 17ab3c9d0e1f-8b1c2d3e
removed:
  description: The releases that were removed, the oldest first.
  returned: when O(state=ended)
  type: list
  elements: str
  sample: [0d1f22aa901b-8b1c2d3e]
releases:
  description: What is there, the latest used first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the release.
      type: str
    source:
      description: The source in words.
      type: str
    dependencies:
      description: File that the dependencies were taken from, or C(package).
      type: str
    built_at:
      description: When its build ended, UTC in ISO 8601.
      type: str
    complete:
      description: Whether its build ended well.
      type: bool
    live:
      description: Whether it serves.
      type: bool
    since:
      description: When it was made live for the last time, UTC in ISO 8601; empty when it never was.
      type: str
    by:
      description: Who made it live, or tried to when it failed.
      type: str
    failed:
      description: Whether a gate has refused it or its deploy has withdrawn it, and it was not live since.
      type: bool
    interrupted:
      description: Whether its deploy was killed, or still goes on.
      type: bool
table:
  description: The same for people, as lines of text.
  returned: success
  type: list
  elements: str
"""

import contextlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._deploy.listing import Releases, ReleasesError
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import DeployLock
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host


def main() -> None:
    """Run the module."""
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directory": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["listed", "chosen", "ended"], "default": "listed"},
            "release": {"type": "str", "default": ""},
            "insist": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 5},
            "deploy": {"type": "str", "default": ""},
            "outcome": {"type": "str", "choices": ["live", "failed"], "default": "live"},
            "before": {"type": "str", "default": ""},
            "by": {"type": "str", "default": ""},
            "reason": {"type": "str", "default": ""},
        },
        required_if=[("state", "ended", ["release"])],
        supports_check_mode=True,
    )
    name, state = module.params["name"], module.params["state"]
    if module.params["keep"] < 1:
        module.fail_json(msg=f"keep is {module.params['keep']}; write a whole number from 1.")
    releases = Releases(Host(), name, module.params["directory"] or f"/srv/{name}")
    result: dict[str, Any] = {"name": name, "changed": False}
    if state == "ended" and not module.check_mode:
        result |= end(releases, DeployLock(name), module.params)
    elif state == "chosen":
        try:
            result["chosen"] = releases.choose(module.params["release"], insist=module.params["insist"])
        except ReleasesError as error:
            module.fail_json(msg=str(error))
    module.exit_json(**result, **releases.result())


def end(releases: Releases, lock: DeployLock, options: dict[str, Any]) -> dict[str, Any]:
    """Record how a deploy has ended, remove the oldest releases, and give its lock back in any case."""
    told = {option: options[option] for option in ("before", "by", "reason")}
    result: dict[str, Any] = {}
    try:
        # A history that cannot be written, on a full disk say, must not fail a deploy that is over.
        with contextlib.suppress(OSError):
            result["changed"] = releases.end(options["release"], options["outcome"], **told)
        with contextlib.suppress(OSError):
            result["removed"] = releases.prune(options["keep"])
    finally:
        lock.release(options["deploy"])
    return result


if __name__ == "__main__":
    main()
