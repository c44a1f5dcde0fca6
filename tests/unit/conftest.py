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


def view_of(role: str, variables: Mapping[str, Any], **seen: Any) -> Any:
    """What a check may look at, with these variables of a role."""
    from ansible_collections.production.fastapi.plugins.action.preflight import Variables
    from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View

    values = {**role_variables(role), **variables}
    debian = {"distribution": "debian", "distribution_version": "13", "users": []}
    return View(
        values.get("inventory_hostname", ""),
        debian | dict(values.get("__fastapi_host", {})),
        values.get("groups", {}),
        values.get("hostvars", {}),
        Variables(values, Templar(loader=DataLoader(), variables=values).resolve_variable_expression),
        seen,
    )


def examined(role: str, variables: Mapping[str, Any], **seen: Any) -> Any:
    """What the action `preflight` finds for these variables of a role."""
    from ansible_collections.production.fastapi.plugins.plugin_utils.preflight import examine

    view = view_of(role, variables, **seen)
    return examine(role, view.variables.__getitem__, view)


def checked(role: str, variables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings of a role, and what is wrong with them, as the action `preflight` finds it for these variables."""
    found = examined(role, variables)
    return found.settings, found.problems


@pytest.fixture(scope="session")
def render() -> Render:
    """`render("nginx", "http.conf.j2", {"nginx_sites": []})`: the text the role would write with these variables.

    `render("nginx", "maps.conf")`: a file that it copies as it is.
    """
    from ansible_collections.production.fastapi.plugins.plugin_utils.preflight import CHECKS
    from ansible_collections.production.fastapi.plugins.plugin_utils.rendering import render_file

    def render_template(role: str, template: str, variables: Mapping[str, Any] | None = None) -> str:
        folder = REPOSITORY / "roles" / role
        if not template.endswith(".j2"):
            return (folder / "files" / template).read_text()
        values = {**role_variables(role), **(variables or {})}
        if role in CHECKS:
            settings = checked(role, values)[0]
            derived = CHECKS[role].derived(settings, view_of(role, values))
            values |= settings
            values[f"__{role}_checked"] = {"settings": settings, "derived": derived}
            named = values.get("item", {}).get("name")
            values |= {f"__{role}_site": site for site in derived.get("sites", ()) if site["name"] == named}
        templar = Templar(loader=DataLoader(), variables=values)
        return render_file(templar, folder / "templates" / template, values, [str(folder)])

    return render_template
