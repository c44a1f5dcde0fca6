# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `app_index_credentials` may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values

KEYS = {"username", "password"}


def index_credentials_problems(credentials: Any) -> list[str]:
    """A sentence for each entry that cannot be meant, with its index and never its values."""
    if not isinstance(credentials, Mapping):
        return ["app_index_credentials: write each index with its username and password, as in its documentation."]
    problems = [_problem(str(index), pair) for index, pair in credentials.items()]
    of_hosts: dict[str, tuple[str, Any]] = {}
    for index, pair in credentials.items():
        host = urlsplit(str(index)).hostname if "://" in str(index) else None
        if host and of_hosts.setdefault(host, (str(index), pair))[1] != pair:
            problems.append(
                f"{index} and {of_hosts[host][0]} are on one host and have different credentials; name these indexes"
                " in pyproject.toml ([[tool.uv.index]]), and write the names here."
            )
    return [f"app_index_credentials: {problem}" for problem in problems if problem]


def _problem(index: str, pair: Any) -> str:
    is_url = "://" in index
    if is_url and "@" in urlsplit(index).netloc:
        return f"{index.rpartition('@')[2]} has a user name in its URL; write it as username."
    if is_url and values.index(index) is None:
        return f"{index} is not a URL; write it with https://."
    if not is_url and values.index(index) is None:
        return f"{index} is neither a URL nor a name of an index."
    if not isinstance(pair, Mapping) or set(pair) != KEYS:
        return f"{index} needs a username and a password, and nothing else."
    # Of a URL they are written to a netrc file.
    rule = values.netrc_word if is_url else values.text
    bad = sorted(key for key, value in pair.items() if value is None or rule(value) is None)
    if not bad:
        return ""
    if is_url:
        return (
            f"the {' and the '.join(bad)} of {index} is empty, or has a space, a quote, a backslash or # at its"
            " beginning; use the index's name in pyproject.toml instead of its URL."
        )
    return f"the {' and the '.join(bad)} of {index} is empty or has a control character."
