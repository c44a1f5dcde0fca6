# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has the module `readiness` look at a host, and judges what it has seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks import readiness

Result = dict[str, Any]


def in_the_way(facts: Mapping[str, Any], known: Mapping[str, Any], execute: Callable[..., Result]) -> Result:
    """The `problems` of a host, a sentence each, or the failure of the module.

    `facts` is what `host_info` has returned, `known` the variables of the task, and `execute` its way to the host.
    """
    host = known["inventory_hostname"]
    began = time.time()
    seen = execute("production.fastapi.readiness", module_args={"host": {}}, task_vars=known)
    if seen.get("failed"):
        return seen
    seen["behind"] = readiness.behind(seen["now"], began, time.time() - seen["took"])
    return {"problems": list(readiness.problems(seen, facts, host, known["groups"], known["hostvars"]))}


def refusal(facts: Mapping[str, Any], known: Mapping[str, Any], execute: Callable[..., Result]) -> Result:
    """The failure of a host that is new and has something in the way; empty where nothing has.

    A host on which the roles of all its groups have ended before is not looked at.
    """
    host = known["inventory_hostname"]
    app = str(known["hostvars"][host].get("app_name", "app"))
    if readiness.is_set_up(facts, host, known["groups"], app):
        return {}
    found = in_the_way(facts, known, execute)
    if found.get("failed"):
        return found
    if not found["problems"]:
        return {}
    return {"failed": True, "msg": " ".join(f"{host}: {sentence}" for sentence in found["problems"])}
