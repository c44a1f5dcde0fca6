"""A role's argument spec is its documentation, so it must say what `defaults/` does."""

import re
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
    # A template is a text. A program cannot read it as the default of another type, so the description says it.
    in_words = {
        name
        for name, value in defaults.items()
        if str(value).startswith("{{") and options[name]["type"] not in {"str", "path", "raw"}
    }
    assert {name: option.get("default") for name, option in options.items() if name not in in_words} == {
        name: value for name, value in defaults.items() if name not in in_words
    }
    assert [name for name in in_words if "default" in options[name]] == []
    assert [name for name in in_words if "y default" not in str(options[name]["description"])] == []


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


def test_all_roles_ask_for_the_ansible_that_the_collection_asks_for():
    root = ROLES[0].parents[1]
    wanted = load(root / "meta" / "runtime.yml")["requires_ansible"]
    found = {load(role / "meta" / "main.yml")["galaxy_info"]["min_ansible_version"] for role in ROLES}
    assert [f">={version}.0" for version in found] == [wanted]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_installation_waits_as_long_for_whoever_holds_the_lock_of_apt(role):
    tasks = load(role / "tasks" / "install.yml") if (role / "tasks" / "install.yml").exists() else []
    installing = [task for task in tasks if "ansible.builtin.apt" in task]
    waits = {(task["ansible.builtin.apt"].get("lock_timeout"), task["retries"] * task["delay"]) for task in installing}
    assert waits <= {(120, 120)}


SWITCHES = [
    name for role in ROLES for name, option in entry_points(role)["main"]["options"].items() if option["type"] == "bool"
]


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_is_read_as_one(name):
    """Ansible converts no value of a role, and `no` of an INI inventory is a text, so true; a module converts.

    So does `preflight`: what a role works out in Python reads the settings that it has converted.
    """
    root = ROLES[0].parents[1]
    files = [
        path
        for folder in ("tasks", "templates", "vars")
        for path in root.glob(f"roles/*/{folder}/**/*")
        if path.is_file()
    ]
    read = []
    for path in [*files, *root.glob("playbooks/**/*.yml")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            # Comments and sentences name it too.
            if re.search(rf"\b{name}\b(?!: true)", line) and not line.startswith("#"):
                read.append(f"{path.relative_to(root)}: {line.strip()}")
    converted = [path for path in root.glob("plugins/plugin_utils/*.py") if f'settings["{name}"]' in path.read_text()]
    assert read + converted, "nothing reads it"
    as_switch = re.compile(rf"\b{name} \| bool\b|^[^ ]+ [a-z_]+: \"{{{{ {name} }}}}\"$")
    assert [line for line in read if not as_switch.search(line)] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_name_of_a_role_is_a_tag_of_all_that_it_does(role):
    files = ["main.yml", "setup.yml"]
    for path in (role / "tasks" / name for name in files):
        for task in load(path) if path.exists() else []:
            # What it imports without tags has its own.
            included = task.get("ansible.builtin.include_tasks", {})
            assert role.name in task.get("tags", []) or task["ansible.builtin.import_tasks"] == "setup.yml"
            # What it includes does not get the tags of the task, only those that are applied.
            if isinstance(included, str):
                files.append(included)
                assert set(task["tags"]) == {"always", role.name}, "who skips a tag would skip tasks without it"
            assert isinstance(included, str) or not included or role.name in included["apply"]["tags"]
