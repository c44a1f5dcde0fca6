# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Masks the secrets of an app in a text of it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: masked
short_description: Mask the secrets of an app in what it has printed
description:
  - Masks the values of the app's environment, and the passwords of URLs and of connection strings in them, also where
    they are percent-encoded or escaped. The password of any other URL is masked too.
  - Values of less than four characters, numbers of up to five digits and common words such as V(info) are shown.
version_added: 0.2.0
positional: environment, files
author:
  - The production.fastapi maintainers (@production-fastapi)
options:
  _input:
    description: A text that the app has printed.
    type: str
    required: true
  environment:
    description: The environment of the app, as O(production.fastapi.gunicorn#role:main:gunicorn_environment) has it.
    type: dict
    required: true
  files:
    description: The files that the app is given, as O(production.fastapi.gunicorn#role:main:gunicorn_files) has them.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what a command has printed
  ansible.builtin.debug:
    msg: "{{ printed.stdout | production.fastapi.masked(gunicorn_environment) }}"
"""

RETURN = r"""
_value:
  description: The text with C(********) in place of each secret.
  type: str
  sample: could not connect to postgresql://********@db/shop
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.printed import masked


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"masked": masked}
