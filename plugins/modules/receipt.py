#!/usr/bin/python
# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the receipt of a deploy; all of it happens on the controller, in the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: receipt
short_description: Write down what clients noticed of a deploy
version_added: 0.2.0
description:
  - Puts together what the probes of all load balancers have seen (M(production.fastapi.probe)) and writes two files,
    C(APP-TIME-RELEASE.json) with the figures and C(APP-TIME-RELEASE.html), a page with plots that needs nothing else.
  - Runs on the controller and asks no host; one host of a play is enough (C(run_once)).
  - The switch is what lies between the first C(switch), C(drain) or C(rollback) and the end of the last of them; a
    request that was open then, to the tenth of a second, counts as during.
  - When no probe has seen a request, nothing is written.
options:
  app:
    description: Name of the app.
    type: str
    required: true
  release:
    description: The release that was deployed.
    type: str
    required: true
  previous:
    description: The release that was live before; empty when none was.
    type: str
    default: ''
  by:
    description: Who deployed.
    type: str
    default: ''
  probes:
    description: For each load balancer what M(production.fastapi.probe) returned as C(probe); an empty one is left out.
    type: dict
    required: true
  drains:
    description:
      - When each app server stopped its old release, C(drain) of M(production.fastapi.switch) by host; an empty one
        is left out.
      - Times are those of the server's clock.
    type: dict
    default: {}
  canary:
    description: How the first servers did, by the plan C(canary) of M(production.fastapi.plan); empty for none.
    type: dict
    default: {}
  folder:
    description:
      - Folder on the controller, made when it is missing; a relative one is beside the inventory. Empty to write
        nothing.
      - Of an inventory that is a folder, beside means in the folder above, since Ansible reads all files in it.
    type: str
    default: receipts
author:
  - The production.fastapi maintainers (@production-fastapi)
attributes:
  check_mode:
    description: Tells which files it would write.
    support: full
"""

EXAMPLES = r"""
- name: Stop the probe
  production.fastapi.probe:
    name: shop
    state: stopped
  register: probed

- name: Write the receipt
  production.fastapi.receipt:
    app: shop
    release: 4f2a9c01d3e5-8b1c2d3e
    previous: 17ab3c9d0e1f-8b1c2d3e
    probes: >-
      {{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars)
                                       | map(attribute='probed.probe', default={}))) }}
  register: written
  run_once: true

- name: Say what clients noticed
  ansible.builtin.debug:
    msg: "{{ written.receipt.summary }}"
  run_once: true
"""

RETURN = r"""
data:
  description: The file with the figures; empty when none was written.
  returned: success
  type: str
  sample: /home/ada/shop/receipts/shop-20261122T193521Z-4f2a9c01d3e5-8b1c2d3e.json
receipt:
  description: The main figures of the file, and where the page is.
  returned: success
  type: dict
  contains:
    summary:
      description: The receipt in a few sentences.
      type: str
      sample: >-
        1,240 requests of the probe for /readyz through Nginx during the deploy: 0 failed; p99 12 ms before, 14 ms
        during; longest 41 ms.
    line:
      description: The same for the last line of a deploy.
      type: str
      sample: 1,240 requests of the probe for /readyz through Nginx, 0 failed
    requests:
      description: Requests of the probe in all.
      type: int
    failed:
      description: Those that had no answer, one with a status of 500 or above, or one that is not the app's.
      type: int
    phases:
      description:
        - C(requests), C(failed), C(p50_ms), C(p99_ms) and C(longest_ms), each C(before), C(during) and C(after) the
          switch, and of C(all).
      type: list
      elements: dict
    releases:
      description: Each release that answered, how many, and its first and last second.
      type: list
      elements: dict
    page:
      description: The file with the page; empty when none was written.
      type: str
      sample: /home/ada/shop/receipts/shop-20261122T193521Z-4f2a9c01d3e5-8b1c2d3e.html
"""
