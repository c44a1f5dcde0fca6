"""What all unit tests share: the collection is importable, and a role's template renders without a host."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTIONS = REPOSITORY / ".ansible-collections"

Render = Callable[..., str]

sys.path.insert(0, str(COLLECTIONS))
init_plugin_loader([str(COLLECTIONS)])


def role_variables(role: str) -> dict[str, Any]:
    """The defaults and the private variables of a role, their templates still unrendered."""
    loader = DataLoader()
    variables: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        path = REPOSITORY / "roles" / role / folder / "main.yml"
        if path.exists():
            variables |= loader.load_from_file(str(path), trusted_as_template=True) or {}
    return variables


@pytest.fixture(scope="session")
def render() -> Render:
    """`render("nginx", "nginx.conf.j2", {"nginx_sites": []})`: the text the role would write with these variables."""
    from ansible_collections.production.fastapi.plugins.plugin_utils.rendering import render_file

    def render_template(role: str, template: str, variables: Mapping[str, Any] | None = None) -> str:
        folder = REPOSITORY / "roles" / role
        values = {**role_variables(role), **(variables or {})}
        templar = Templar(loader=DataLoader(), variables=values)
        return render_file(templar, folder / "templates" / template, values, [str(folder)])

    return render_template
