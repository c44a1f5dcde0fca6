#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells how a server is; the work is in module_utils/_server/state.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: server_state
short_description: Tell how a server and what it runs is
version_added: 0.2.0
description:
  - Reads the live release and the processes of apps, certificates, resources, failed units and files that were
    changed since the roles wrote them. On a load balancer it requests the members of each site, as Nginx would.
  - Changes nothing, in one round trip.
options:
  apps:
    description: Names of the apps that the server has to run.
    type: list
    elements: str
    default: []
  members:
    description: For each site of the load balancer, the addresses of its members as Nginx writes them.
    type: dict
    default: {}
  path:
    description: What the members are asked for, with GET.
    type: str
    default: /healthz
  timeout:
    description: Seconds that a member has for each step of its answer, more than 0.
    type: float
    default: 3
  asked_at:
    description: The controller's clock when it asks, in seconds since 1970; 0 to omit RV(behind).
    type: float
    default: 0
  virtual:
    description: The IPv4 address that load balancers share, on one of them; empty for none.
    type: str
    default: ""
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Nothing ever differs.
    support: none
"""

EXAMPLES = r"""
- name: See how an app server is
  production.fastapi.server_state:
    apps: [shop]
    asked_at: "{{ now(utc=true).timestamp() }}"

- name: See how a load balancer is, and its members
  production.fastapi.server_state:
    members: {shop: ["10.0.0.5:8000", "10.0.0.6:8000"]}
"""

RETURN = r"""
at:
  description: The server's clock, UTC in ISO 8601.
  returned: success
  type: str
  sample: '2026-03-01T09:30:00.123+00:00'
behind:
  description: Seconds that the server's clock is behind O(asked_at), less the time that asking took.
  returned: success
  type: float
uptime:
  description: Seconds since the server was started.
  returned: success
  type: float
load:
  description: Processes that ran or wanted to, on average of the last minute.
  returned: success
  type: float
cpus:
  description: Processors that may be used.
  returned: success
  type: int
memory:
  description: Memory in MiB, C(total_mb) and C(available_mb).
  returned: success
  type: dict
disks:
  description: The file systems of C(/), C(/var) and C(/srv), each with C(path), C(free_mb) and C(used_percent).
  returned: success
  type: list
  elements: dict
reboot_required:
  description: Whether an upgrade waits for a restart of the server.
  returned: success
  type: bool
reboot_reasons:
  description:
    - Why - C(/run/reboot-required), a kernel, libc, systemd or microcode that is newer than the start of the server,
      and processes whose program or libraries were replaced.
  returned: success
  type: list
  elements: str
  sample: [a new libc6, nginx runs what was replaced]
failed_units:
  description: Units that systemd calls failed.
  returned: success
  type: list
  elements: str
touched:
  description: Files of a role that were changed or removed since the run that wrote them.
  returned: success
  type: list
  elements: str
installed:
  description: All apps that the role gunicorn has configured, each with the inventory that it came from, empty where
    that is not known.
  returned: success
  type: dict
  sample: {shop: production, blog: production}
served:
  description: All sites that the role nginx has configured, each with the inventory that it came from, empty where that
    is not known.
  returned: success
  type: dict
  sample: {shop: production, blog: production}
left:
  description: The apps that were removed and whose data is still there, and when that was.
  returned: success
  type: dict
  sample: {blog: "2026-11-23T10:00:00+00:00"}
apps:
  description:
    - For each of O(apps) its C(release), the C(previous) one, C(since) and C(by), the C(state) of its unit as systemd
      names it, the number of its C(workers), how often systemd had to start it again (C(restarts)),
      of its C(processes) the C(state), the C(restarts) and for how many seconds each is C(up),
      the files that are newer than its processes (C(outdated)), whether the deploy of its release has not ended
      (C(interrupted)), and the release whose deploy failed and has left its configuration (C(configured_by)).
  returned: success
  type: dict
services:
  description: The states of Nginx, Redis and keepalived as systemd names them.
  returned: success
  type: dict
  sample: {nginx: active, redis-server: inactive, keepalived: active}
virtual:
  description: Whether the server holds the address of O(virtual).
  returned: success
  type: dict
  sample: {10.0.0.100: true}
certificates:
  description:
    - For each site, and for what its servers show over TLS, C(issuer), C(self_signed), C(names), C(days) of its life,
      C(days_left), and C(error) where it cannot be read.
  returned: success
  type: dict
rejected:
  description:
    - The files of pages that Nginx has rejected in the last hour, by folder. Each has C(count), and the C(path) of
      the last one. Of Nginx's log the last 2 MiB are read.
  returned: success
  type: dict
  sample: {/static/: {count: 12, path: /static/shop.css}}
sites:
  description:
    - For each site and each member the C(status) of its answer (0 for none), C(release), C(milliseconds) and C(error).
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._server.state import server_state


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "apps": {"type": "list", "elements": "str", "default": []},
            "members": {"type": "dict", "default": {}},
            "path": {"type": "str", "default": "/healthz"},
            "timeout": {"type": "float", "default": 3},
            "asked_at": {"type": "float", "default": 0},
            "virtual": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    if given["timeout"] <= 0:
        module.fail_json(msg=f"timeout is {given['timeout']:g}; write a number of seconds above 0.")
    module.exit_json(changed=False, **server_state(Host(), **given))


if __name__ == "__main__":
    main()
