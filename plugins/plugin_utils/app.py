# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role app works out from its settings: where the source is, and the packages that a build needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.sites import static_folders

KINDS = ("git", "folder", "archive", "package")
SAMPLE = Path(__file__).resolve().parents[2] / "roles" / "app" / "files" / "shop"
# By SSH: ssh://git@git.example.com/shop.git, or git@git.example.com:shop.git.
SSH = re.compile(r"ssh://|[^/:]+@")


def derived(settings: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What tasks read besides the settings."""
    static, source = view.variables.get("app_static"), settings["app_source"]
    return {
        "environment": environment(settings),
        "media": static_folders(static, source, "shared"),
        "migrates": bool(settings["app_before_switch"]) or settings["app_migrate_command"] != "",
        "missing": [name for name in packages(settings) if name not in view.facts.get("packages", {})],
        "packages": packages(settings),
        "static": static_folders(static, source),
        "static_kept": static_folders(static, source, "immutable"),
    }


def environment(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The environment of a build: what the role tells the app, by the name of earlier versions too, and its own."""
    timeout = str(settings["app_request_timeout"])
    told = {"PRODUCTION_FASTAPI_REQUEST_TIMEOUT": timeout, "APP_REQUEST_TIMEOUT": timeout}
    return told | dict(settings["app_environment"])


def kind_of(source: Mapping[str, Any]) -> str:
    """Of which kind a source is; empty for the sample."""
    return next((kind for kind in KINDS if kind in source), "")


def is_url(source: Mapping[str, Any]) -> bool:
    """Whether a source is an archive that the host fetches."""
    return "://" in str(source.get("archive", ""))


def is_local(source: Mapping[str, Any]) -> bool:
    """Whether the controller has the source."""
    return kind_of(source) == "folder" or (kind_of(source) == "archive" and not is_url(source))


def folders_of(variables: Mapping[str, Any]) -> list[str]:
    """Where a path of the controller is looked for: beside the inventory, then beside the playbook."""
    return [str(variables.get(name) or "") for name in ("inventory_dir", "playbook_dir")]


def path_of(source: Mapping[str, Any], folders: Iterable[str]) -> str:
    """The path of a local source; empty when the controller has none."""
    wanted = Path(str(source[kind_of(source)])).expanduser()
    return next((str(path) for folder in folders if (path := Path(folder) / wanted).exists()), "")


def source_of(source: Mapping[str, Any], folders: Iterable[str], version: str = "") -> dict[str, Any]:
    """The source as it is built: the sample for none, a local one by its path, in the version that is asked for."""
    if not source:
        return {"folder": str(SAMPLE)}
    if is_local(source):
        return {**source, kind_of(source): path_of(source, folders) or source[kind_of(source)]}
    return {**source, "version": version} if version else dict(source)


def packages(settings: Mapping[str, Any]) -> list[str]:
    """The packages of Debian that a build needs; uv gets here by python3-pip-whl."""
    source = settings["app_source"]
    found = ["ca-certificates", "python3-pip-whl", *settings["app_packages"]]
    if settings["app_build"]:
        found += settings["app_build_packages"]
    if kind_of(source) == "git":
        found.append("git")
        if "key" in source or SSH.match(str(source["git"])):
            found.append("openssh-client")
    return found
