# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of the collection is on a host, by what its own files say: apps, sites, and data of apps that were removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE

CERTIFICATES = "etc/ssl/sites/certificates.json"
# Beside the history of an app: what `remove` has left of it.
LEFT = "left.json"
# The transaction of the role gunicorn; what follows is the name of the app.
TRANSACTION = "gunicorn-"


def installed_apps(root: Path) -> dict[str, str]:
    """The inventory of each app that the role gunicorn has configured, empty where that is not known."""
    manifests = sorted((root / STATE).glob(f"{TRANSACTION}*.json"))
    return {path.stem.removeprefix(TRANSACTION): str(_json(path).get("inventory", "")) for path in manifests}


def installed_sites(root: Path) -> dict[str, dict[str, Any]]:
    """The sites that the role nginx has configured, as its program for certificates knows them, by their names."""
    entries = _json(root / CERTIFICATES).get("sites", [])
    return {str(entry["name"]): entry for entry in entries if isinstance(entry, dict) and "name" in entry}


def left_data(root: Path) -> dict[str, str]:
    """The apps that were removed and whose data is still there, and when that was; one that came back is none."""
    notes = {path.parent.name: path for path in sorted((root / STATE).glob(f"*/{LEFT}"))}
    back = installed_apps(root)
    return {name: str(_json(path).get("at", "")) for name, path in notes.items() if name not in back}


def _json(path: Path) -> dict[str, Any]:
    """The object in a file, empty where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
