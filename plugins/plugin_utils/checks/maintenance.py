# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the playbook maintenance asks for, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.settings import structure

RETRY_AFTER = 300


def asked(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """The `state` (on or off, empty for neither), the `sites`, and who is served as ever."""
    known = [site["name"] for site in settings["nginx_sites"]]
    given = view.variables.get
    state = values.boolean(given("state", ""))
    return {
        "state": "" if state is None else "on" if state else "off",
        "sites": [given("site")] if "site" in view.variables else known,
        "retry_after": given("retry_after", RETRY_AFTER),
        "allow": structure("list", given("allow", "")),
    }


def problems(settings: Mapping[str, Any], view: View) -> Iterator[str]:
    """What is wrong with the parameters of the playbook."""
    wanted = asked(settings, view)
    known = [site["name"] for site in settings["nginx_sites"]]
    if not wanted["state"]:
        yield "Write -e state=on or -e state=off."
    for site in wanted["sites"]:
        if site not in known:
            yield f"site is {site}; write one of {', '.join(known)}."
    if values.number(wanted["retry_after"], 1, 10**9) is None:
        yield f"retry_after is {wanted['retry_after']}; write seconds, such as 300."
    if wrong := [str(each) for each in wanted["allow"] if values.network(each) is None]:
        yield f"allow has {', '.join(wrong)}; write addresses or networks, such as 192.0.2.7,10.0.0.0/8."
