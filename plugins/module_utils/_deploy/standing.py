# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an app stands as it was configured, so that a switch to its live release would have nothing to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._deploy.running import outdated, read_state
from ansible_collections.production.fastapi.plugins.module_utils._deploy.switching import Switch
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host

# As the role gunicorn writes it for the worker.
READINESS_PATH = re.compile(r"^\s*readiness_path = (\"[^\n]*\")$", re.MULTILINE)


def standing(root: Path, name: str, host: Host | None = None) -> dict[str, Any]:
    """The live release, whether it is settled, and the path that it has just answered over its socket.

    It is asked once: `switch` itself finds out more about one that does not answer.
    """
    host = host or Host(root)
    current = f"/srv/{name}/current"
    state = read_state(host, name, current)
    path = readiness_path(root, name)
    socket = host.recorded(f"/run/{name}/socket.started")
    switch = Switch(host, name, release=state.live, current=current, health_path=path, health_timeout=0)
    settled = bool(
        state.live
        and not switch.reasons(state)
        and not outdated(host, name, state.live)
        and host.recorded(f"/run/{name}/{state.live}.started")
        and host.recorded(f"/run/{name}/{state.live}.reloaded")
        and socket
        and all(host.digest(file) == digest for file, digest in socket.items())
        and not switch.sick(successes=1)
    )
    return {"live": state.live, "settled": settled, "health_path": path}


def readiness_path(root: Path, name: str) -> str:
    """The path that the workers of an app ask themselves before they accept; empty when there is none."""
    settings = root / "etc" / name / "gunicorn.conf.py"
    text = settings.read_text(encoding="utf-8", errors="replace") if settings.is_file() else ""
    found = READINESS_PATH.search(text)
    return str(json.loads(found[1])) if found else ""
