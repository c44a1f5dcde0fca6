# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the source of an app on the controller, a repository too: what a run would refuse of it, and what it needs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._host.masking import mask_url
from ansible_collections.production.fastapi.plugins.module_utils._release.checking import Asked, Checks
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import (
    ReleaseError,
    last_line,
    plain_url,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.app import folders_of, path_of
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import servers_of
from ansible_collections.production.fastapi.plugins.plugin_utils.source.hints import hints

# Seconds that git may take for a source.
TIMEOUT = 60


@dataclass(frozen=True)
class Findings:
    """What a run would refuse of a source, and what else there is to say of it."""

    refused: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def findings(settings: Mapping[str, Any], view: View) -> dict[str, list[str]]:
    """The findings about the source of an app, on one of its servers alone."""
    servers = servers_of(view.groups.get("app_servers", ()), settings["app_name"], view.hostvars)
    alive = view.variables.get("ansible_play_hosts", servers)
    if view.host != next((server for server in servers if server in alive), view.host):
        return asdict(Findings())
    source = settings.get("app_source") or {}
    try:
        with here(source, view) as folder:
            return asdict(examined(folder, source, settings, view) if folder else Findings())
    except ReleaseError as error:
        return asdict(Findings(hints=[str(error)]))


@contextlib.contextmanager
def here(source: Mapping[str, Any], view: View) -> Iterator[Path | None]:
    """The folder with a source; none of a kind that is not read here."""
    if "folder" in source:
        path = path_of(source, folders_of(view.variables))
        yield Path(path) if path else None
    elif "git" in source:
        version = view.variables.get("version") or source.get("version")
        with tempfile.TemporaryDirectory() as name:
            fetch(str(source["git"]), str(version or "HEAD"), Path(name))
            yield Path(name)
    else:
        yield None


def fetch(url: str, version: str, folder: Path) -> None:
    """Bring one commit of a repository into a folder; raises `ReleaseError` where this machine cannot have it."""
    plain = plain_url(url)
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": f"{os.environ.get('GIT_SSH_COMMAND', 'ssh')} -o BatchMode=yes -o ConnectTimeout=10",
        "GIT_TERMINAL_PROMPT": "0",
    }
    if url != plain:  # what opens it is on no command line
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{url}.insteadOf",
            "GIT_CONFIG_VALUE_0": plain,
        }
    steps = (
        ["init", "--quiet"],
        ["fetch", "--quiet", "--depth=1", "--no-recurse-submodules", "--", plain, version],
        ["-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "FETCH_HEAD"],
    )
    said = ""
    try:
        for step in steps:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                ["git", "-C", str(folder), *step],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
            if done.returncode != 0:
                said = last_line(done.stderr.decode(errors="replace"))
                break
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error) if isinstance(error, OSError) else f"no answer in {TIMEOUT} s"
    if said:
        raise ReleaseError(
            f"app_source: this machine cannot read {mask_url(plain)} at {version} ({mask_url(said).rstrip('.')}), so"
            " that nothing was looked for in it; the servers will try it by themselves."
        )


def examined(folder: Path, source: Mapping[str, Any], settings: Mapping[str, Any], view: View) -> Findings:
    """What there is to say of a source in this folder."""
    python = str(view.facts.get("python_version") or "")
    return Findings(refusals(folder, source, settings, view), hints(folder, source, settings, python))


def refusals(folder: Path, source: Mapping[str, Any], settings: Mapping[str, Any], view: View) -> list[str]:
    """All sentences with which a run would refuse a source."""
    get = view.variables.get
    credentials = get("app_index_credentials")
    options = {name.removeprefix("app_"): value for name, value in settings.items()}
    options |= {
        "requirements": get("__app_stack_requirements"),
        "index_credentials": credentials if isinstance(credentials, Mapping) else {},
    }
    asked = Asked.of(options)
    try:
        checks = Checks.of_folder(folder, str(source.get("subdirectory", "")), source.get("include") or (), asked)
    except ReleaseError as error:
        return [str(error)]
    return [str(error) for error in checks.refusals()]
