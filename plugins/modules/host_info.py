#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads what the roles need to know of a host, in one round trip and from a handful of files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what the roles need to know of a host
version_added: 0.1.0
description:
  - Reads a few files instead of gathering facts, and changes nothing.
  - When the variable C(__fastapi_host) holds an earlier result, that is returned and the host is not asked again.
options:
  refresh:
    description: Ask the host even though C(__fastapi_host) is known, for example after packages were installed.
    type: bool
    default: false
  ready:
    description:
      - Whether to fail, with all sentences in one message, on a host that is new and has something in the way by
        M(production.fastapi.readiness). A host on which the roles of all its groups have ended before is not looked at.
    type: bool
    default: false
  candidates:
    description: Packages whose version is looked up in apt's lists where they are not installed.
    type: list
    elements: str
    default: [nginx]
  services:
    description: Services of systemd whose state is looked up.
    type: list
    elements: str
    default: [nginx, redis-server, redis-sentinel, prometheus-nginx-exporter, keepalived]
  key:
    description: A random value of the run, put there by the action plugin, by which RV(trees) is keyed.
    type: str
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
- name: Read what the host is
  production.fastapi.host_info:
  register: __fastapi_host

- name: Read it again, now that packages were installed
  production.fastapi.host_info:
    refresh: true
  register: __fastapi_host
"""

RETURN = r"""
distribution:
  description: The C(ID) of C(/etc/os-release).
  returned: success
  type: str
  sample: debian
distribution_version:
  description: The C(VERSION_ID) of C(/etc/os-release); empty for a testing release.
  returned: success
  type: str
  sample: '12'
architecture:
  description: The machine as the kernel names it.
  returned: success
  type: str
  sample: x86_64
cpus:
  description: Processors that may be used.
  returned: success
  type: int
  sample: 2
memory_mb:
  description: Memory of the host, in MiB.
  returned: success
  type: int
  sample: 3915
memory_available_mb:
  description: Memory that new processes can have without swapping, in MiB.
  returned: success
  type: int
  sample: 2710
python_version:
  description: Version of C(/usr/bin/python3), two numbers; empty where there is none.
  returned: success
  type: str
  sample: '3.13'
has_apt:
  description: Whether packages are installed by apt.
  returned: success
  type: bool
  sample: true
systemd_version:
  description: Major version of the installed systemd; 0 if there is none.
  returned: success
  type: int
  sample: 252
packages:
  description: Version of each installed Debian package.
  returned: success
  type: dict
  sample: {nginx: 1.22.1-9+deb12u3}
candidates:
  description: Upstream version that apt would install of each package in O(candidates) that is not installed;
    a package that apt's lists do not have, or a host without lists, leaves it out.
  returned: success
  type: dict
  sample: {nginx: 1.22.1}
disk_free_mb:
  description: Space that is free for C(/srv), C(/var) and C(/), in MiB.
  returned: success
  type: dict
  sample: {/: 18211, /srv: 18211, /var: 18211}
services:
  description: Whether each service in O(services) starts at boot, and what it does now, as systemd names it.
  returned: success
  type: dict
  sample: {nginx: "enabled, active"}
drained:
  description: App servers that this load balancer gives no new requests, by their inventory names; since when (C(at),
    UTC), C(by) which playbook, and the C(reason).
  returned: success
  type: dict
  sample: {app2: {at: "2026-11-23T10:00:00Z", by: drain, reason: a new disk}}
maintenance:
  description: Sites that are in maintenance; the C(retry_after) in seconds, and the C(allow)ed addresses of each.
  returned: success
  type: dict
  sample: {shop: {retry_after: 300, allow: [192.0.2.7]}}
inventory:
  description: The name of the inventory, which the action adds - C(fastapi_inventory), or made from what
    C(ansible-playbook) was given with C(-i).
  returned: success
  type: str
  sample: production
apps:
  description: The apps that the role gunicorn has configured, each with the inventory that it came from, empty where
    that is not known.
  returned: success
  type: dict
  sample: {shop: production}
sites:
  description: The sites that the role nginx has configured, as its program for certificates knows them.
  returned: success
  type: dict
  sample: {shop: {name: shop, domains: [shop.example.com], mode: self-signed}}
left:
  description: The apps that were removed and whose data is still there, and when that was.
  returned: success
  type: dict
  sample: {blog: "2026-11-23T10:00:00+00:00"}
nginx:
  description:
    - What is served besides our sites - C(main), the text of C(nginx.conf) as it was before us, and C(main_is_package).
    - C(settings) outside of servers and C(servers), each with C(file) and C(line), and files that are C(unreadable).
    - C(default_site), whether the site that the package enables is unchanged (C(package)), C(ours) or C(theirs), and
      C(default_site_served).
  returned: success
  type: dict
  sample: {main: "user www-data; ...", main_is_package: true, default_site: package, default_site_served: true,
    settings: [], servers: [], unreadable: []}
addresses:
  description: The interface of each IPv4 address with its prefix length.
  returned: success
  type: dict
  sample: {127.0.0.1/8: lo, 10.0.0.5/24: eth0}
users:
  description: Names of the local users.
  returned: success
  type: list
  elements: str
  sample: [root, www-data]
groups:
  description: Names of the local groups.
  returned: success
  type: list
  elements: str
  sample: [root, www-data]
units:
  description: Names of the files of systemd's units.
  returned: success
  type: list
  elements: str
  sample: [getty@.service, ssh.service]
folders:
  description: What is in C(/etc), C(/run) and C(/srv).
  returned: success
  type: dict
  sample: {/etc: [hosts], /run: [lock], /srv: []}
managed:
  description: The units that each transaction of M(production.fastapi.config_tree) on this host has written.
  returned: success
  type: dict
  sample: {gunicorn-shop: [shop.socket, shop@.service]}
generations:
  description: The generation of each transaction of M(production.fastapi.config_tree), which changes with its files.
  returned: success
  type: dict
  sample: {nginx: 5d0c11aa3f1c9a0b}
trees:
  description: The digest of the files of each transaction of M(production.fastapi.config_tree) as they are now, keyed
    by O(key). That of a transaction that was killed on its way is empty.
  returned: success
  type: dict
  sample: {nginx: 5d0c11aa3f1c9a0b}
certificates:
  description: The self-signed certificate of each site, as M(production.fastapi.self_signed_certificates) needs it.
  returned: success
  type: dict
  sample: {shop: {serial: 4F1D2C, names: [shop.example.com], good: true, ours: true, linked: true}}
standing:
  description: Of each app that the role gunicorn has configured, the C(live) release, whether it is C(settled), which
    is to say that M(production.fastapi.switch) had nothing to do for it, and the C(health_path) that it has answered.
  returned: success
  type: dict
  sample: {shop: {live: 3f1c9a0b7d2e-5d0c11aa, settled: true, health_path: /healthz}}
releases:
  description:
    - Of each app that the role gunicorn has configured, the C(live) release and what its C(release.json) says, the
      names of the C(complete) ones, what Nginx has C(copies) of, and mode, owner and group of the C(folders).
    - Empty for an app of which M(production.fastapi.release) has to look itself.
  returned: success
  type: dict
  sample: {shop: {live: 3f1c9a0b7d2e-5d0c11aa, complete: [3f1c9a0b7d2e-5d0c11aa], copies: {}, unfinished: false}}
is_systemd:
  description: Whether the host was booted with systemd.
  returned: success
  type: bool
  sample: true
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._server.host import SERVICES, survey


def main() -> None:
    """Read this host."""
    module = AnsibleModule(
        argument_spec={
            "refresh": {"type": "bool", "default": False},
            "ready": {"type": "bool", "default": False},
            "candidates": {"type": "list", "elements": "str", "default": ["nginx"]},
            "services": {"type": "list", "elements": "str", "default": SERVICES},
            "key": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    host = survey(Path("/"), options["candidates"], options["services"], options["key"] or "", module.run_command)
    module.exit_json(changed=False, **host)


if __name__ == "__main__":
    main()
