# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which servers change together in a rolling deploy."""

from __future__ import annotations

DOCUMENTATION = r"""
name: batches
short_description: Divide servers into batches
description:
  - The first size is that of the first batch, and so on; the last size holds for all that remain.
version_added: "0.1.0"
author:
  - The production.fastapi maintainers (@production-fastapi)
positional: sizes
options:
  _input:
    description: The servers, in their order.
    type: list
    elements: str
    required: true
  sizes:
    description: Numbers of servers, or shares of all of them such as C(50%), which are rounded up.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show who changes together
  ansible.builtin.debug:
    msg: "{{ groups.app_servers | production.fastapi.batches([1, '50%']) }}"
"""

RETURN = r"""
_value:
  description: The batches.
  type: list
  elements: list
  sample: [[app1], [app2, app3]]
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

SIZE = re.compile(r"([1-9][0-9]*)(%?)")


def batches(servers: Sequence[str], sizes: Sequence[int | str]) -> list[list[str]]:
    """Divide the servers; raises AnsibleFilterError when a size is neither a number from 1 nor a share up to 100%."""
    numbers = [number_of(size, len(servers)) for size in sizes]
    if not numbers:
        raise AnsibleFilterError('app_batches is empty; write sizes of batches, such as [1, "50%"].')
    found: list[list[str]] = []
    rest = list(servers)
    while rest:
        number = numbers[min(len(found), len(numbers) - 1)]
        found.append(rest[:number])
        rest = rest[number:]
    return found


def number_of(size: int | str, servers: int) -> int:
    """How many servers a size means."""
    match = SIZE.fullmatch(str(size))
    if match is None or (match[2] and int(match[1]) > 100):
        raise AnsibleFilterError(
            f'app_batches has {size}; write numbers from 1 or shares up to 100%, such as [1, "50%"].'
        )
    return -(-servers * int(match[1]) // 100) if match[2] else int(match[1])


class FilterModule:
    """The filter that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"batches": batches}
