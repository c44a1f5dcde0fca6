# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The environment of an app, as people write it, and the lines of the file that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.environment import as_text
from ansible_collections.production.fastapi.plugins.module_utils._app.files import file_problems, file_texts
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import quote


def environment_lines(environment: Mapping[str, Any]) -> list[str]:
    """An assignment for each variable, sorted, as an EnvironmentFile of systemd and a shell read it back."""
    return [f"{name}={quote(as_text(environment[name]))}" for name in sorted(environment)]


def app_file_list(files: Mapping[str, Any]) -> list[dict[str, str]]:
    """The files that an app is given, each as `{name, content}`; what is wrong with them `file_problems` says."""
    texts = {} if file_problems(files) else file_texts(files)
    return [{"name": name, "content": texts[name]} for name in sorted(texts)]


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "environment_lines": environment_lines,
            "app_file_list": app_file_list,
        }
