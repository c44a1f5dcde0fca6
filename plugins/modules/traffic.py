#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says how app servers have answered, by a load balancer's log; the work is in module_utils/_nginx/access_log.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic
short_description: Say how app servers have answered lately, as a load balancer has logged it
version_added: 0.2.0
description:
  - Runs on a load balancer and reads the end of Nginx's access log, which has to be JSON as C(nginx_access_log) of the
    role P(production.fastapi.nginx#role) says.
  - Each server that a request was sent to counts, so an error counts although another server answered the client.
  - Nginx keeps lines for up to five seconds, so the last ones are not there yet.
  - Waits on the controller until O(seconds) have passed since O(since), and then asks the host. Changes nothing.
options:
  servers:
    description: The address of each app server as Nginx writes it, by a name.
    type: dict
    required: true
  since:
    description: When to begin, in seconds since 1970 by the clock of the controller.
    type: float
    required: true
  seconds:
    description: Seconds to wait for, from O(since) on.
    type: float
    default: 0
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Reads in check mode too.
    support: full
"""

EXAMPLES = r"""
- name: See how both servers answer in the next minute
  production.fastapi.traffic:
    servers: {app1: "10.0.0.5:8000", app2: "10.0.0.6:8000"}
    since: "{{ now().timestamp() }}"
    seconds: 60
"""

RETURN = r"""
answers:
  description: An entry for each server, release, and who asked.
  returned: always
  type: list
  elements: dict
  contains:
    server:
      description: Its name.
      type: str
    release:
      description: The release that answered; empty when the server gave no answer, or another one was asked after it.
      type: str
    probe:
      description: Whether M(production.fastapi.probe) had asked, and not a client.
      type: bool
    errors:
      description: Answers with a status of 500 or above, with those that Nginx gave in place of a server.
      type: int
    times:
      description: Of the other answers how many had their header after so many milliseconds.
      type: dict
      sample: {"3": 120, "4": 31}
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._nginx.access_log import answers_since

# Debian's logrotate leaves the log of the day before uncompressed.
# Beside sites of others, those of ours have a log of their own.
FOLDER = Path("/var/log/nginx")
LOGS = [FOLDER / name for log in ("access.log", "production.fastapi.log") for name in (f"{log}.1", log)]


def main() -> None:
    """Run the module; the action has turned `since` into the seconds that have passed."""
    module = AnsibleModule(
        argument_spec={
            "servers": {"type": "dict", "required": True},
            "since": {"type": "float", "required": True},
            "seconds": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    found = answers_since(LOGS, module.params["servers"], time.time() - module.params["seconds"])
    answers = [
        {"server": server, "release": release, "probe": probe, "errors": some.errors, "times": dict(some.times)}
        for (server, release, probe), some in found.items()
    ]
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
