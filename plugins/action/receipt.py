# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the receipt of a deploy on the controller, as JSON and as a page; no host is asked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.production.fastapi.plugins.plugin_utils.receipt import make_receipt
from ansible_collections.production.fastapi.plugins.plugin_utils.receipt_page import page_of

SHOWN = ("summary", "line", "requests", "failed", "phases", "releases")


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module of the same name for the options."""

    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(("app", "release", "previous", "by", "probes", "drains", "canary", "folder"))
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make the receipt, and write it unless nothing was seen."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _unused, options = self.validate_argument_spec(
            argument_spec={
                "app": {"type": "str", "required": True},
                "release": {"type": "str", "required": True},
                "previous": {"type": "str", "default": ""},
                "by": {"type": "str", "default": ""},
                "probes": {"type": "dict", "required": True},
                "drains": {"type": "dict", "default": {}},
                "canary": {"type": "dict", "default": {}},
                "folder": {"type": "str", "default": "receipts"},
            }
        )
        folder = options.pop("folder")
        drains = options.pop("drains")
        events = [{"name": "drain", "host": host, **drain} for host, drain in drains.items() if drain]
        receipt = make_receipt(**options, events=events)
        shown = {key: receipt[key] for key in SHOWN}
        result |= {"changed": False, "receipt": shown | {"page": ""}, "data": ""}
        if not folder or not receipt["requests"]:
            return result
        sources = [str(source) for source in task_vars.get("ansible_inventory_sources") or []]
        target = target_folder(folder, str(task_vars.get("inventory_dir") or ""), sources)
        base = target / file_name(receipt)
        page = f"{base}.html"
        result |= {"changed": True, "receipt": shown | {"page": page}, "data": f"{base}.json"}
        if not self._task.check_mode:
            target.mkdir(parents=True, exist_ok=True)
            write(Path(result["data"]), json.dumps(receipt, indent=2, ensure_ascii=False) + "\n")
            write(Path(page), page_of(receipt))
        return result


def target_folder(folder: str, inventory: str, sources: Iterable[str]) -> Path:
    """Where receipts go: `folder` beside the inventory.

    Ansible reads every file of an inventory that is a folder, receipts too, so there it is beside that folder. Raises
    AnsibleActionFail for a folder inside of it.
    """
    here = Path(inventory or Path.cwd()).resolve()
    folders = [path for path in (Path(source).resolve() for source in sources) if path.is_dir()]
    around = min(
        (path for path in folders if here.is_relative_to(path)), key=lambda path: len(path.parts), default=None
    )
    beside = here if around is None else around.parent
    target = (beside / Path(folder).expanduser()).resolve()
    for path in folders:
        if target.is_relative_to(path):
            raise AnsibleActionFail(f"The receipts would be read as part of the inventory {path}: name another folder.")
    return target


def file_name(receipt: Mapping[str, Any]) -> str:
    """APP-TIME-RELEASE, without what a file name should not have."""
    time = datetime.fromisoformat(receipt["began"]).strftime("%Y%m%dT%H%M%SZ")
    return re.sub(r"[^A-Za-z0-9.-]", "_", f"{receipt['app']}-{time}-{receipt['release']}").lstrip(".")


def write(path: Path, text: str) -> None:
    """Write a whole file or none."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
