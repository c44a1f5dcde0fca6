"""A role's argument spec is its documentation, so it must say what `defaults/` does."""

from pathlib import Path

import pytest
import yaml

ROLES = sorted(path.parent.parent for path in Path(__file__).parents[2].glob("roles/*/meta/argument_specs.yml"))


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def entry_points(role):
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]


def test_there_are_five_roles():
    assert [role.name for role in ROLES] == ["app", "gunicorn", "keepalived", "nginx", "redis"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_default_is_documented_and_every_option_has_its_default(role):
    options = entry_points(role)["main"]["options"]
    defaults = load(role / "defaults" / "main.yml")
    assert {name: option.get("default") for name, option in options.items()} == defaults


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_preflight_checks_the_same_types(role):
    points = entry_points(role)
    assert points["preflight"]["options"] == points["main"]["options"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_names_tell_whose_they_are(role):
    assert all(name.startswith(f"{role.name}_") for name in load(role / "defaults" / "main.yml"))
    private = [name for path in (role / "vars").glob("*.yml") for name in load(path)]
    assert all(name.startswith(f"__{role.name}_") for name in private)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_option_says_what_it_is_for(role):
    options = entry_points(role)["main"]["options"]
    assert [name for name, option in options.items() if not option.get("description") or not option.get("type")] == []
