# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The check of names for the roles that still say in their variables what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.names import app_name_problems

DOCUMENTATION = r"""
name: taken_names
short_description: Whether the names that an app needs are free on a host
description:
  - An app has a user, a group, units of systemd and folders under its name. Where a host has such a name already,
    and this collection has not made it, the app cannot have it.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: name
options:
  _input:
    description: What M(production.fastapi.host_info) has returned.
    type: dict
    required: true
  name:
    description: The name of the app.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show why an app cannot have its name
  ansible.builtin.debug:
    msg: "{{ __fastapi_host | production.fastapi.taken_names('user') }}"
"""

RETURN = r"""
_value:
  description: A sentence for each name that is taken.
  type: list
  elements: str
"""


def taken_names(host: Mapping[str, Any], name: Any) -> list[str]:
    """A sentence for each name that is taken."""
    return list(app_name_problems(host, name))


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"taken_names": taken_names}
