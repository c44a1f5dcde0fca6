# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The name of a release, which follows from its source and from how it is built."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.rules import release_name, slug

# Changes when releases are made in another way, so that a host gets new ones: those of before stay what they are.
LAYOUT = 2


def name_of(asked: Mapping[str, Any], commit: str, python: str, resolution: str = "") -> str:
    """The name of the release that these options of the module `release` ask for.

    `commit` is that of a git source, `python` the host's own, such as `python3.13`.
    """
    source = asked["source"]
    if "package" in source:
        identity = source_id = f"{source['package']}-{source['version']}"
    else:
        identity = commit or source.get("tree") or source.get("checksum", "").removeprefix("sha256:")
        source_id = identity[:12] or slug(source.get("version") or "HEAD")
    build = {
        "layout": LAYOUT,
        "source": identity,
        "python": asked["python"] or python,
        "dependencies": asked["dependencies"],
        # The one there is: what was built by earlier versions keeps its name.
        "installer": "uv",
        "entrypoint": asked["entrypoint"],
        "subdirectory": source.get("subdirectory", ""),
        "requirements": list(asked["requirements"]),
        "index_url": asked["index_url"],
        "install_options": list(asked["install_options"]),
        "extras": sorted(asked["extras"]),
        "groups": sorted(asked["groups"]),
    }
    if asked["ignore_pins"]:
        build["ignore_pins"] = sorted(asked["ignore_pins"])
    if asked["build_commands"]:
        build |= {
            "build_commands": list(asked["build_commands"]),
            "build_environment": dict(asked["build_environment"]),
        }
    elif asked["build_environment"]:
        build["build_environment"] = dict(asked["build_environment"])
    if asked["shared"]:
        build["shared"] = sorted(map(posixpath.normpath, asked["shared"]))
    if resolution:
        build["resolution"] = resolution
    return release_name(source_id, build)
