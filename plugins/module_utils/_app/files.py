# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that an app is given, such as keys, as people write them in YAML: what is wrong, and the text of each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.environment import as_text

NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")


def files_folder(app: str) -> str:
    """Where the files of an app are on its servers."""
    return f"/etc/{app}/files"


def file_texts(files: Mapping[Any, Any]) -> dict[str, str]:
    """`{name: text}`. A structure is written as JSON: YAML and vaults read some JSON as one."""
    return {str(name): _text(content) for name, content in files.items()}


def _text(content: Any) -> str:
    if isinstance(content, (Mapping, list, tuple)):
        return json.dumps(content, indent=2) + "\n"
    return as_text(content)


def file_problems(files: Any, variable: str = "app_files (gunicorn_files)") -> list[str]:
    """One sentence for each kind of problem of a variable, with the names in it and never the contents."""
    if not isinstance(files, Mapping):
        return [f'{variable}: write names with their contents, such as {{account.json: "{{{{ vault_account }}}}"}}.']
    names = [str(name) for name in files if not NAME.fullmatch(str(name)) or str(name) in (".", "..")]
    empty = [str(name) for name, content in files.items() if content is None]
    sentences = {
        f"{', '.join(names)} can be no name of a file; use a-z, A-Z, 0-9, dot, underscore and hyphen.": names,
        f'{", ".join(empty)} has no content; write "" for an empty file, or leave the name out.': empty,
    }
    return [f"{variable}: {sentence}" for sentence, found in sentences.items() if found]
