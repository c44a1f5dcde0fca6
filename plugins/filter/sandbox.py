# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sandbox of an app, for the units of its releases and for the import check of a build."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sandbox
short_description: Say what the processes of an app may do
description:
  - The settings of a systemd service that make the sandbox of an app, without its limits of memory and of files.
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
options:
  _input:
    description: Folders in which the app may write.
    type: list
    elements: str
    required: true
  in_home:
    description: Whether the app lives below C(/home) or C(/root).
    type: bool
    default: false
  extra:
    description: An addition to the unit, of which the settings that belong to a sandbox are added.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the sandbox of the app
  ansible.builtin.debug:
    msg: "{{ gunicorn_writable_folders | production.fastapi.sandbox }}"
"""

RETURN = r"""
_value:
  description: The settings, a line each.
  type: list
  elements: str
  sample: [ProtectSystem=strict, ReadOnlyPaths=/run, ReadWritePaths=-/srv/shop/shared]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox import additions, service_sandbox


def sandbox(writable: list[str], *, in_home: bool = False, extra: str = "") -> list[str]:
    """The lines of the unit."""
    return service_sandbox(writable, in_home=in_home) + additions(extra)


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"sandbox": sandbox}
