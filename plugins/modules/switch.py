#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a release live; the decisions are in module_utils/_deploy/switching.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: switch
short_description: Make a release of an app the live one, without losing a request
version_added: 0.1.0
description:
  - A release is an instance of the unit C(NAME@.service); C(NAME.socket) holds the listening socket for all of them.
  - The new instance is started first. C(systemctl start) comes back when a worker of it has finished its start-up, has
    answered its readiness path in process, and has said so; until then it accepts nothing, and a failure ends here with
    the old release untouched.
  - From then on both accept from one queue. For O(observe) seconds the new instance is watched beside the old one; when
    it ends, or answers badly (the worker's header C(X-Release) tells whose an answer is), it is stopped, and the old
    one, which never stopped, serves on. Requests that were under way in an instance that dies are all that is lost.
  - Unit files C(NAME.PROCESS-NUMBER@.service) are processes of each release, and C(NAME.JOB.timer) are jobs. When the
    new instance has been watched, the processes of the old one are stopped, its own are started and watched for
    O(observe) seconds; when one does not stay up, the old ones are started again. Those without a unit file end.
  - Then O(current) and the next boot are settled, the old instance is stopped (it drains), and O(health_path) is asked
    over the socket, where only the new instance can answer. When that fails, the old instance is started again
    before the new one is stopped.
  - A live release whose O(watch) files changed since it started is tried beside the live one with the new files first,
    then restarted; requests wait in the socket meanwhile. When only O(watch_reload) files changed, it is reloaded.
  - A live release that is not healthy is reported and left alone, since another start of it might be refused.
  - What became live, was refused, reloaded or restarted is a line of C(/var/lib/production.fastapi/NAME/history.jsonl),
    which keeps the last 200. M(production.fastapi.releases) reads it.
options:
  name:
    description: The app; units are C(NAME@RELEASE.service), C(NAME.socket) and C(NAME.check@RELEASE.service).
    type: str
    required: true
  release:
    description: The release to make live, the instance name of its unit; O(state=live) needs it.
    type: str
    default: ''
  state:
    description:
      - V(live) makes O(release) the live one. It does nothing when it is that already, with the files of now.
      - V(reloaded) tries the live release with the files of now, then lets it take new workers.
      - V(restarted) tries it, then stops and starts it and its processes; requests wait in the socket meanwhile.
    type: str
    choices: [live, reloaded, restarted]
    default: live
  current:
    description: Link that points to the live release, C(releases/RELEASE) beside it; empty when there is none.
    type: str
    default: ''
  health_path:
    description: Path that has to answer below 500 over the socket after the switch; empty to ask nothing.
    type: str
    default: ''
  health_successes:
    description: Good answers in a row that it takes after a switch, from 1. When nothing was to be done, one is enough.
    type: int
    default: 3
  health_timeout:
    description: Time for O(health_path) to begin to answer well, in seconds.
    type: float
    default: 10
  observe:
    description:
      - Time that a new instance has to stay up, and to answer, beside the old one before that is stopped, in seconds.
      - Nothing is waited for where no other release runs, but for processes that were started.
    type: float
    default: 0
  start_timeout:
    description: Time for an instance to become ready, in seconds; the unit should have the same.
    type: int
    default: 60
  watch:
    description:
      - Files that a process reads once, when it starts. A file counts as changed when its sum is not the one in
        C(/run/NAME/RELEASE.started), which the unit writes.
    type: list
    elements: path
    default: []
  watch_reload:
    description: Files that a reload reads again; their sums are in C(/run/NAME/RELEASE.reloaded).
    type: list
    elements: path
    default: []
  watch_socket:
    description: Files that the socket is made from; their sums are in C(/run/NAME/socket.started).
    type: list
    elements: path
    default: []
  by:
    description: Who does it and from where, as V(anna@laptop), for the history.
    type: str
    default: ''
  reason:
    description: Why, for the history; empty for what the module finds out itself.
    type: str
    default: ''
  deploy:
    description:
      - The deploy that this is part of, as M(production.fastapi.deploy_lock) has returned it.
      - While another one holds the lock of the app, or when this one has lost it, nothing is done.
    type: str
    default: ''
  lock_timeout:
    description: Seconds for which the lock of O(deploy) is renewed before anything is done, from 1.
    type: float
    default: 900
  check_memory:
    description:
      - Whether to refuse, in check mode too, when the host has less available memory than the live release uses, since
        the new one needs about as much beside it. Measured is what the processes use together (Pss).
    type: bool
    default: false
  trial:
    description:
      - Whether O(release) is on trial, because the deploy that this is part of has more to do. The history then says
        C(tried), and M(production.fastapi.releases) with C(state=ended) adds C(live) or C(failed).
    type: bool
    default: false
  keep:
    description:
      - How many complete releases stay, with the live one and the one before, which do in any case. The others are
        removed, the least recently used first, when something was done, and after a failure too. C(0) removes none.
      - It needs O(current), beside which the releases are.
    type: int
    default: 0
  standing:
    description:
      - What M(production.fastapi.host_info) has in C(standing) for the app. Where it says that O(release) is live and
        settled, the host is not asked. Leave it out when files of the app have changed since.
    type: dict
    default: {}
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Tells whether it would switch and why, on a host without any of the units too.
    support: full
"""

EXAMPLES = r"""
- name: Make the release live
  production.fastapi.switch:
    name: shop
    release: 4f2a9c01d3e5-8b1c2d3e
    current: /srv/shop/current
    health_path: /ready
    watch: [/etc/shop/environment, /etc/systemd/system/shop@.service]
    watch_reload: [/etc/shop/gunicorn.conf.py]
    observe: 5
    by: anna@laptop

- name: Let the live release take new workers
  production.fastapi.switch:
    name: shop
    state: reloaded

- name: Serve an app in a folder that has no releases
  production.fastapi.switch:
    name: legacy
    release: main
"""

RETURN = r"""
live:
  description: The release that serves now; empty when none does.
  returned: always
  type: str
  sample: 4f2a9c01d3e5-8b1c2d3e
previous:
  description: The release that served before; empty when none did.
  returned: always
  type: str
  sample: 17ab3c9d0e1f-8b1c2d3e
drain:
  description: When the release before was told to stop (C(at)) and had ended (C(until)), in seconds since 1970.
  returned: when there was one
  type: dict
  sample: {"at": 1795411421.64, "until": 1795411424.7}
refused:
  description: The release that a gate has refused.
  returned: when one has
  type: str
  sample: 4f2a9c01d3e5-8b1c2d3e
reasons:
  description: Why something had to be done, one phrase each; empty when nothing had to.
  returned: always
  type: list
  elements: str
  sample: ["/etc/shop/environment changed since release 4f2a9c01d3e5-8b1c2d3e started"]
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._deploy.listing import Releases
from ansible_collections.production.fastapi.plugins.module_utils._deploy.running import SwitchError
from ansible_collections.production.fastapi.plugins.module_utils._deploy.switching import Switch
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host


def main() -> None:
    """Run the module."""
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "release": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["live", "reloaded", "restarted"], "default": "live"},
            "current": {"type": "str", "default": ""},
            "health_path": {"type": "str", "default": ""},
            "health_successes": {"type": "int", "default": 3},
            "health_timeout": {"type": "float", "default": 10},
            "observe": {"type": "float", "default": 0},
            "start_timeout": {"type": "int", "default": 60},
            "watch": {"type": "list", "elements": "path", "default": []},
            "watch_reload": {"type": "list", "elements": "path", "default": []},
            "watch_socket": {"type": "list", "elements": "path", "default": []},
            "by": {"type": "str", "default": ""},
            "reason": {"type": "str", "default": ""},
            "deploy": {"type": "str", "default": ""},
            "lock_timeout": {"type": "float", "default": 900},
            "check_memory": {"type": "bool", "default": False},
            "trial": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 0},
            "standing": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "live" and not module.params["release"]:
        module.fail_json(msg="release: name the release to make live.")
    options = {name: value for name, value in module.params.items() if name not in ("keep", "standing")}
    switch = Switch(host=Host(), **options)
    try:
        result = switch.look() if module.check_mode else run(switch, module.params["keep"])
    except SwitchError as error:
        module.fail_json(msg=str(error), **error.result)
    module.exit_json(**result)


def run(switch: Switch, keep: int) -> dict[str, Any]:
    """Switch, and remove the oldest releases; after a failure too, so that a day of failed deploys fills no disk."""
    result: dict[str, Any] = {}
    try:
        result = switch.run()
        return result
    finally:
        if keep and switch.current and result.get("changed", True):
            # A disk on which nothing can be removed must not fail a switch that is over.
            with contextlib.suppress(OSError):
                Releases(switch.host, switch.name, str(Path(switch.current).parent)).prune(keep)


if __name__ == "__main__":
    main()
