# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long Nginx waits for the apps of an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: read_timeout
short_description: Say how long Nginx waits for the apps of an inventory
description:
  - Half a second longer than the longest C(app_request_timeout), so that an app that ends a request itself comes first,
    and a client still has an answer within a second more. No longer than the shortest C(gunicorn_timeout). Without app
    servers it is 120.
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: hostvars
options:
  _input:
    description: The groups of the inventory, with their hosts.
    type: dict
    required: true
  hostvars:
    description: All variables of all hosts.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how long Nginx waits
  ansible.builtin.debug:
    msg: "{{ groups | production.fastapi.read_timeout(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Seconds.
  type: float
  sample: 30.5
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# The defaults of the roles app and gunicorn.
REQUEST_TIMEOUT = 30
GUNICORN_TIMEOUT = 120
# Seconds that Nginx waits longer than the app should take; the rest of a second is for the way to the client.
LONGER = 0.5


def read_timeout(groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Any]) -> float:
    """Seconds that Nginx waits for an answer of an app."""
    servers = [hostvars[host] for host in groups.get("app_servers", [])]
    longest = max(
        (number(server, "app_request_timeout", REQUEST_TIMEOUT) for server in servers), default=GUNICORN_TIMEOUT
    )
    shortest = min(
        (number(server, "gunicorn_timeout", GUNICORN_TIMEOUT) for server in servers), default=GUNICORN_TIMEOUT
    )
    return float(min(longest + LONGER, shortest))


def number(variables: Mapping[str, Any], name: str, default: int) -> int:
    """A variable as a number; one that is none is refused by its role, so the default will do."""
    text = str(variables.get(name, default))
    return int(text) if text.isdecimal() else default


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"read_timeout": read_timeout}
