# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renders a template file with Ansible's own engine; shared by the action and by the tests of the roles' templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.template import Templar, trust_as_template


def render_file(templar: Templar, path: Path, variables: Mapping[str, Any], search_path: Sequence[str] = ()) -> str:
    """The text of the template at `path`; like `ansible.builtin.template` it trims the newline after a block.

    `search_path` lists the folders that `include` and `import` look in, besides the template's own.
    Raises AnsibleError naming the template when it uses an undefined variable or does not parse.
    """
    folders = [str(path.parent)]
    for folder in search_path:
        folders += [str(Path(folder) / "templates"), folder]
    values = {"ansible_managed": "Ansible managed", **variables, "template_path": path.name}
    engine = templar.copy_with_new_env(searchpath=folders, available_variables=values)
    try:
        text = trust_as_template(path.read_text(encoding="utf-8"))
        rendered = engine.template(text, escape_backslashes=False)
    except UnicodeDecodeError as error:
        raise AnsibleError(f"Template {path} is not UTF-8 text; copy such a file with `src`.") from error
    except AnsibleError as error:
        raise AnsibleError(f"Template {path} cannot be rendered: {error.message}") from error
    return "" if rendered is None else str(rendered)
