# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the live release of a host is the one that is wanted, by what `host_info` has read there.

Then the host need not be asked again. Whatever takes more to know, the module `release` finds out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.host import SYSTEM_BUNDLE
from ansible_collections.production.fastapi.plugins.module_utils._release.naming import name_of
from ansible_collections.production.fastapi.plugins.module_utils._release.pins import Live
from ansible_collections.production.fastapi.plugins.module_utils._release.public import stale_copies
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import is_commit
from ansible_collections.production.fastapi.plugins.module_utils._release.there import wanted_folders

# Authorities that are trusted without being looked for.
SYSTEM_BUNDLES = ("", SYSTEM_BUNDLE)

# Options of the module by what they are; what is of another kind, the module converts or refuses.
TEXTS = ("name", "directory", "user", "dependencies", "python", "entrypoint", "index_url", "ca_bundle")
LISTS = (
    "requirements",
    "install_options",
    "ignore_pins",
    "extras",
    "groups",
    "build_commands",
    "static",
    "static_kept",
    "media",
    "shared",
)


def answer(asked: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the module `release` would answer to these options; None where it has to be asked."""
    if not there or not _is_plain(asked):
        return None
    source = asked["source"]
    commit = str(source.get("version", "")) if "git" in source else ""
    live = Live.of(there["release"], there["live"])
    base = name_of(asked, commit, there["python"])
    resolution = live.resolution_of(base, anew=False)
    folders = wanted_folders(there["app"], there["web"], (0, 0), media=False)
    stale, gone = stale_copies(there["complete"], there["copies"], asked["static"], asked["static_kept"])
    if name_of(asked, commit, there["python"], resolution) != there["live"] or there["folders"] != folders:
        return None
    if stale or gone:
        return None
    return {
        "release": there["release"],
        "complete": True,
        "live": there["live"],
        "unfinished": there["unfinished"],
        "former": dict(live.pins),
        "resolution": resolution,
    }


def _is_plain(asked: Mapping[str, Any]) -> bool:
    """Whether the options can be compared as they are, and nothing but the host's own files decides."""
    of_kind = (
        all(isinstance(asked.get(name), str) for name in TEXTS)
        and all(isinstance(asked.get(name), list) for name in LISTS)
        and all(isinstance(each, str) for name in LISTS for each in asked[name])
        and isinstance(asked.get("build_environment"), Mapping)
    )
    source = asked["source"]
    return (
        of_kind
        and asked.get("resolve") is False
        and (asked["directory"], asked["user"]) == (f"/srv/{asked['name']}", asked["name"])
        and asked["ca_bundle"] in SYSTEM_BUNDLES
        # What the app saves for Nginx may have changed in the meantime, and what a branch means.
        and not asked["media"]
        and ("git" not in source or is_commit(str(source.get("version", ""))))
    )
