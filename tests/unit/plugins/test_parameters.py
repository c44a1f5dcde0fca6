"""Which parameters the playbooks have, and which names were probably meant to be one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.production.fastapi.plugins.modules import parameters as module
from ansible_collections.production.fastapi.plugins.plugin_utils.parameters import (
    PARAMETERS,
    distance,
    parameter_problems,
)

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"


@pytest.mark.parametrize(
    ("playbook", "given", "meant"),
    [
        ("deploy", "verison", "version"),
        ("deploy", "Version", "version"),
        ("deploy", "vesion", "version"),
        ("drain", "servre", "server"),
        ("drain", "drain-timeout", "drain_timeout"),
        ("drain", "drain_timout", "drain_timeout"),
        ("rollback", "relase", "release"),
        ("rollback", "version", "release"),
        ("deploy", "release", "version"),
        ("maintenance", "sate", "state"),
        ("maintenance", "tsate", "state"),
        ("patch", "onyl", "only"),
    ],
)
def test_a_mistyped_parameter_is_refused_with_the_nearest_name(playbook: str, given: str, meant: str) -> None:
    (problem,) = parameter_problems(playbook, [given])
    assert problem.startswith(f"{given} is not a parameter of this playbook; write -e {meant}=…, ")


@pytest.mark.parametrize("playbook", sorted(PARAMETERS))
@pytest.mark.parametrize("given", ["server", "servers", "only", "limit"])
def test_who_means_a_part_of_the_servers_is_told_how(playbook: str, given: str) -> None:
    named = {"drain": "server", "undrain": "server", "patch": "only"}.get(playbook, "")
    problems = [problem.partition(",")[0] for problem in parameter_problems(playbook, [given])]
    how = f"-e {named}=…" if named else "--limit and the names of servers."
    expected = f"{given} is not a parameter of this playbook; write {how}"
    assert problems == ([] if given == named else [expected])


@pytest.mark.parametrize(
    ("playbook", "given"),
    [
        ("deploy", "version"),
        ("deploy", "build_number"),
        ("deploy", "app_version"),
        ("deploy", "ansible_user"),
        ("maintenance", "stage"),
        ("maintenance", "size"),
        ("lock", "stage"),
        ("drain", "region"),
        ("rollback", "environment"),
        ("certs", "region"),
    ],
)
def test_variables_of_others_are_no_problem(playbook: str, given: str) -> None:
    assert parameter_problems(playbook, [given]) == []


@pytest.mark.parametrize(
    ("one", "other", "steps"), [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
)
def test_the_distance_of_two_names(one: str, other: str, steps: int) -> None:
    assert distance(one, other) == distance(other, one) == steps


def checked(file: Path) -> list[str]:
    """The playbooks that the first play of a file names in its check."""
    tasks = yaml.safe_load(file.read_text())[0].get("tasks", [])
    return [
        task["production.fastapi.parameters"]["playbook"] for task in tasks if "production.fastapi.parameters" in task
    ]


def test_each_playbook_with_parameters_checks_them_first() -> None:
    found = {file.stem: checked(file) for file in PLAYBOOKS.glob("*.yml")}
    assert {name: [name] for name in PARAMETERS if name != "deploy"} == {k: v for k, v in found.items() if v}
    for name in ("site", "deploy"):
        assert "steps/check.yml" in (PLAYBOOKS / f"{name}.yml").read_text()
    assert checked(PLAYBOOKS / "steps/check.yml") == ["deploy"]


@pytest.mark.parametrize("file", sorted(PLAYBOOKS.glob("*.yml")), ids=lambda file: file.stem)
def test_what_a_playbook_tells_of_itself_is_declared(file: Path) -> None:
    told = set(re.findall(r"-e '?\{?\"?([a-z_]+)[=\"]", file.read_text()))
    assert told <= set(PARAMETERS.get(file.stem, PARAMETERS["deploy"] if file.stem in {"site", "deploy"} else {}))


def test_the_module_documents_the_same_playbooks() -> None:
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert options["playbook"]["choices"] == sorted(PARAMETERS)
