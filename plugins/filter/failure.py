# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a failed task has said, for a person who has not seen the rest of the output."""

from __future__ import annotations

DOCUMENTATION = r"""
name: failure
short_description: Say why a task failed
description:
  - The message of a failed task, with the last lines of its log when the message does not have them.
  - Of a task with a loop the messages of the items that failed.
version_added: 0.2.0
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: task
options:
  _input:
    description: What the task returned, C(ansible_failed_result) in a rescue.
    type: dict
    required: true
  task:
    description: The name of the task, C(ansible_failed_task.name) in a rescue.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say why
  ansible.builtin.debug:
    msg: "{{ ansible_failed_result | production.fastapi.failure(ansible_failed_task.name) }}"
"""

RETURN = r"""
_value:
  description: The task and its message, with lines of the log below it.
  type: str
  sample: >-
    Build the release: main:app cannot be imported: ModuleNotFoundError: No module named 'shop'
"""

from collections.abc import Callable, Mapping
from typing import Any

LOG_LINES = 15


def failure(result: Mapping[str, Any], task: str) -> str:
    """The task's name and its message; the log comes below it, unless the message has it already."""
    failed = [item for item in result.get("results") or [] if isinstance(item, Mapping) and item.get("failed")]
    messages = [_message(item) for item in failed] or [_message(result)]
    return f"{task.rpartition(' : ')[2]}: {' '.join(dict.fromkeys(messages))}"


def _message(result: Mapping[str, Any]) -> str:
    message = str(result.get("msg") or result.get("exception") or "failed without an error message").strip()
    lines = [_plain(str(line)) for line in result.get("log") or []][-LOG_LINES:]
    if not lines or lines[-1] in message:
        return message
    ended = message if message.endswith((".", "!", "?", ":")) else f"{message}."
    return "\n  ".join([f"{ended} The last lines of its log:", *lines])


def _plain(line: str) -> str:
    """A line without what a terminal or an editor would take for no text, such as what git sends at its end."""
    return "".join(sign for sign in line if sign.isprintable() or sign == "\t").rstrip()


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"failure": failure}
