#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks an app through Nginx during a deploy; the work is in module_utils/_deploy/probing.py and probing_client.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: Ask an app through Nginx for as long as a deploy lasts
version_added: 0.2.0
description:
  - Runs on a load balancer. A transient unit of systemd asks Nginx on the host itself, over TLS and HTTP/1.1, and
    writes a line in memory for each request.
  - Requests begin at a fixed rate whether or not earlier ones were answered, so a stall shows in full. One in four has
    a connection of its own, the others share kept-alive ones.
  - A request fails when it has no answer within O(timeout), one with a status of 500 or above, or one that is not the
    app's, which is one without the header O(release_header). What Nginx's rate limit refuses (429 without that header)
    was never asked of the app; it is counted in RV(probe.limited) and nowhere else.
  - The requests come from 127.0.80.81, which the role P(production.fastapi.nginx#role) does not limit.
  - If a kept-alive connection is closed before the first byte of an answer, the request is sent once more on a new
    connection, as every client does, and counted in RV(probe.again).
  - The unit ends by itself after O(max_duration). What a killed play has left is replaced by the next O(state=started).
  - The documentation of P(production.fastapi.receipt#module) says what becomes of what it has seen.
extends_documentation_fragment: [production.fastapi.through_nginx]
options:
  name:
    description: The app.
    type: str
    required: true
  state:
    description:
      - V(started) starts the probe, again if there was one already.
      - V(stopped) ends the probe, returns what it has seen and removes it; without one it does nothing.
    type: str
    choices: [started, stopped]
    default: started
  domain:
    description: The domain to ask for, in TLS (SNI) and as C(Host); of a wildcard any name that it covers is taken.
    type: str
    default: ''
  path:
    description:
      - What to ask for, with GET. It should be cheap and without effect, such as the app's readiness path.
    type: str
    default: /
  rate:
    description: Requests a second, 1 to 200.
    type: int
    default: 20
  timeout:
    description: Seconds for one request, 1 to 120.
    type: int
    default: 10
  max_duration:
    description: Seconds after which the probe ends by itself, 1 to 7200.
    type: int
    default: 1800
  validate_certs:
    description: Whether a certificate that does not verify is a failure.
    type: bool
    default: false
  ca_file:
    description: On the host, the certificates to verify with instead of the system's.
    type: path
    default: ''
  only_served:
    description: Whether to end at once when the first request shows that the app does not serve, see RV(served).
    type: bool
    default: false
  events:
    description:
      - For O(state=stopped), the steps of the deploy, each with its C(name) (V(build), V(gate), V(switch), V(canary),
        V(verify) or V(rollback)) and C(at), when it began. It lasts until the next one.
      - C(at) is in seconds since 1970 by the clock of the controller.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What begins.
        type: str
        choices: [build, gate, switch, canary, verify, rollback]
        required: true
      at:
        description: When.
        type: float
        required: true
  ahead:
    description: Seconds by which the clock of the controller is ahead of the host's, RV(ahead) of O(state=started).
    type: float
    default: 0
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Does nothing.
    support: full
"""

EXAMPLES = r"""
- name: Ask through Nginx from now on
  production.fastapi.probe:
    name: shop
    domain: shop.example.com
    path: /readyz
  register: started

- name: Stop the probe
  production.fastapi.probe:
    name: shop
    state: stopped
    ahead: "{{ started.ahead }}"
    events:
      - {name: switch, at: "{{ switch_began }}"}
  register: probed
"""

RETURN = r"""
first:
  description:
    - How the first request ended, a status or one of the kinds in RV(probe.kinds).
    - Empty when it took longer than five seconds. An app that does not serve yet shows here.
  returned: when O(state=started)
  type: str
  sample: '200'
served:
  description: Whether it had an answer below 500, and one of a release of the app.
  returned: when O(state=started)
  type: bool
ahead:
  description: Seconds by which the clock of the controller is ahead of the host's, to a few hundredths.
  returned: when O(state=started)
  type: float
  sample: -0.021
probe:
  description: What the probe has seen; empty when there was none.
  returned: when O(state=stopped)
  type: dict
  contains:
    domain:
      description: The domain that was asked for.
      type: str
    path:
      description: The path that was asked for.
      type: str
    rate:
      description: Requests a second.
      type: int
    complete:
      description: Whether it still asked when it was stopped; false after O(max_duration), or when something ended it.
      type: bool
    began:
      description: When the first request began, in seconds since 1970 by the host's clock.
      type: float
    seconds:
      description: From there to the last answer.
      type: float
    requests:
      description: Requests in all.
      type: int
    failed:
      description: Those of them that failed.
      type: int
    limited:
      description: Those that Nginx's rate limit has refused. They are in no other figure.
      type: int
    again:
      description: Those that took a second connection.
      type: int
    kinds:
      description:
        - How many ended how. The key is a status, or C(timeout), C(refused), C(reset), C(closed) (before the answer was
          complete), C(tls), C(answer) (not HTTP), or the name of another error.
      type: dict
      sample: {"200": 812}
    failed_kinds:
      description: The same of those that failed.
      type: dict
      sample: {}
    p50_ms:
      description: Median of the times, in milliseconds (nearest rank, as the next one).
      type: float
    p99_ms:
      description: 99th percentile of the times, in milliseconds.
      type: float
    longest_ms:
      description: The longest time, in milliseconds.
      type: float
    releases:
      description: The releases that answered, in the order in which they did; an empty name for answers without one.
      type: list
      elements: str
    buckets:
      description:
        - A list for each tenth of a second in which a request began. It has the number of the tenth from
          RV(probe.began), how many failed, how many each of RV(probe.releases) answered, and the time of each request
          in milliseconds.
      type: list
      elements: list
      sample: [[0, 0, [2], [4.1, 9.8]]]
    failures:
      description: The first 1000 failures.
      type: list
      elements: dict
      contains:
        at:
          description: When the request began, in seconds since 1970.
          type: float
        ms:
          description: How long it took, in milliseconds.
          type: float
        kind:
          description: As in RV(probe.kinds).
          type: str
        release:
          description: The release that answered, if one did.
          type: str
    assets:
      description:
        - The files that the page C(/) named when the probe began (scripts, styles, pictures; at most 20), each with the
          status that it has now. A browser that has the page from before asks for these.
      type: dict
      sample: {"/static/shop.css": "200"}
    rejected:
      description:
        - The files of pages that Nginx has rejected since the probe began, by folder. Each has C(count), and the
          C(path) of the last one. Of Nginx's log the last 2 MiB are read.
      type: dict
      sample: {"/static/": {"count": 12, "path": "/static/shop.css"}}
    events:
      description: O(events) by the clock of the host, C(name) and C(at) in seconds since 1970.
      type: list
      elements: dict
"""

import ipaddress
import os
import re
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.production.fastapi.plugins.module_utils._deploy.probing import Probe, ProbeError
from ansible_collections.production.fastapi.plugins.module_utils._deploy.through_nginx import OPTIONS
from ansible_collections.production.fastapi.plugins.module_utils._nginx.existing import speaks_proxy_protocol

RANGES = {"rate": (1, 200), "timeout": (1, 120), "max_duration": (1, 7200), "port": (1, 65535)}
TEXTS = {
    "name": (r"[a-z][a-z0-9-]{0,30}", "lower-case letters, digits and dashes, beginning with a letter"),
    "domain": (r"(\*\.)?[A-Za-z0-9.:-]+", "a domain or an address, such as shop.example.com"),
    "path": (r"/[!-~]*", "a path such as /readyz"),
    "release_header": (r"[A-Za-z0-9-]+", "the name of a header, such as X-Release"),
}


def problem_of(options: dict[str, Any]) -> str:
    """One sentence about the first option that cannot be; empty when all can."""
    checked = {"name"} if options["state"] != "started" else set(TEXTS)
    for option, (pattern, wanted) in TEXTS.items():
        if option in checked and not re.fullmatch(pattern, str(options[option])):
            return f'{option} is "{options[option]}"; write {wanted}.'
    for option, (lowest, highest) in RANGES.items():
        value = options[option]
        if not isinstance(value, int) or not lowest <= value <= highest:
            return f"{option} is {value}; write a whole number from {lowest} to {highest}."
    try:
        ipaddress.ip_address(str(options["address"]))
    except ValueError:
        return f'address is "{options["address"]}"; write an IP address, such as 127.0.0.1 or ::1.'
    return ""


def main() -> None:
    """Run the module."""
    os.umask(0o022)
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "domain": {"type": "str", "default": ""},
            "path": {"type": "str", "default": "/"},
            "rate": {"type": "int", "default": 20},
            "timeout": {"type": "int", "default": 10},
            "max_duration": {"type": "int", "default": 1800},
            **OPTIONS,
            "validate_certs": {"type": "bool", "default": False},
            "ca_file": {"type": "path", "default": ""},
            "only_served": {"type": "bool", "default": False},
            "events": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {
                        "type": "str",
                        "choices": ["build", "gate", "switch", "canary", "verify", "rollback"],
                        "required": True,
                    },
                    "at": {"type": "float", "required": True},
                },
            },
            "ahead": {"type": "float", "default": 0},
        },
        required_if=[("state", "started", ["domain"])],
        supports_check_mode=True,
    )
    options: dict[str, Any] = module.params
    if problem := problem_of(options):
        module.fail_json(msg=problem)
    state = options["state"]
    if module.check_mode:
        nothing: dict[str, dict[str, Any]] = {"started": {"first": "", "served": False}, "stopped": {"probe": {}}}
        module.exit_json(changed=False, **nothing[state])
    probe = Probe(options["name"])
    try:
        if state == "started":
            target = {name: options[name] for name in ("address", "port", "path", "timeout", "ca_file")}
            target |= {"domain": options["domain"].replace("*", "www"), "header": options["release_header"]}
            target["verify"] = options["validate_certs"]
            target["proxy_protocol"] = speaks_proxy_protocol(Path("/"), options["port"])
            first = probe.start(target, options["rate"], options["max_duration"])
            served = first is not None and first.served
            if options["only_served"] and not served:
                probe.stop()
            module.exit_json(changed=True, first=first.kind if first else "", served=served, now=time.time())
        seen = probe.stop(options["events"], options["ahead"])
        module.exit_json(changed=bool(seen), probe=seen)
    except (ProbeError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
