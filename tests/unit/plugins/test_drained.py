"""Who is drained, and who may not be."""

from pathlib import Path

import pytest
import yaml
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.draining import drain_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.draining import drain_step
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import drained
from ansible_collections.production.fastapi.plugins.plugin_utils.sites import sites

GROUPS = {"load_balancers": ["lb1", "lb2"], "app_servers": ["app1", "app2"]}


def inventory(*away):
    """Two load balancers, of which the first knows who is away, and two servers."""
    servers = {f"app{n}": {"app_name": "shop", "gunicorn_bind": f"10.0.0.{n}:8000"} for n in (1, 2)}
    return {"lb1": {"__fastapi_host": {"drained": {name: {"by": "drain"} for name in away}}}, "lb2": {}, **servers}


def test_load_balancers_agree_on_who_is_drained():
    assert drained(GROUPS, inventory("app2")) == ["app2"]
    for balancer in GROUPS["load_balancers"]:
        (site,) = sites(GROUPS, inventory("app2"), balancer)
        assert site["servers"] == ["10.0.0.1:8000", {"address": "10.0.0.2:8000", "drained": True}]


def test_nobody_is_drained_where_nothing_was_read():
    assert drained({}, {}) == []
    assert drained(GROUPS, inventory()) == []


def test_a_server_that_has_left_the_inventory_is_no_matter():
    (site,) = sites({**GROUPS, "app_servers": ["app1"]}, inventory("app2"), "lb1")
    assert site["servers"] == ["10.0.0.1:8000"]


def test_a_server_can_be_drained_while_another_one_serves_its_app():
    assert drain_problems(GROUPS, inventory(), "app2") == []
    assert drain_problems(GROUPS, inventory("app2"), "app2") == []
    assert drain_problems(GROUPS, inventory("app2"), "app1") == [
        "app1 is the last server of the app shop that is not drained; undrain another one first."
    ]


def test_a_server_of_another_app_does_not_help():
    hostvars = inventory()
    hostvars["app2"]["app_name"] = "blog"
    (problem,) = drain_problems(GROUPS, hostvars, "app1")
    assert problem.startswith("app1 is the last server of the app shop")


def test_a_name_that_the_inventory_has_not_is_refused():
    (problem,) = drain_problems(GROUPS, inventory(), "")
    assert problem == "server is ''; write -e server=NAME with one of app1, app2."


@pytest.mark.parametrize(
    ("found", "by", "drain", "step"),
    [
        ("", "drain", True, "write"),
        ("drain", "drain", True, "keep"),
        # An operator drains what a killed upgrade has left drained: the next upgrade must not bring it back.
        ("patch", "drain", True, "write"),
        ("", "patch", True, "write"),
        ("patch", "patch", True, "keep"),
        ("drain", "patch", True, "keep"),
        ("drain", "drain", False, "remove"),
        ("patch", "drain", False, "remove"),
        ("", "drain", False, "keep"),
        ("patch", "patch", False, "remove"),
        # Drained by an operator while the upgrade went on.
        ("drain", "patch", False, "keep"),
    ],
)
def test_an_operator_goes_before_an_upgrade(found, by, drain, step):
    assert drain_step({"by": found} if found else {}, by, drain=drain) == step


def test_the_tasks_do_what_was_decided():
    """What an operator has asked for outlives the upgrade that had drained the server first."""
    tasks = yaml.safe_load((Path(__file__).parents[3] / "roles/nginx/tasks/drain.yml").read_text())
    conditions = {next(iter(task.values())): task.get("when", "") for task in tasks}
    assert conditions["Note that the server is drained"] == "__nginx_asked.derived.drain_step == 'write'"
    assert conditions["Remove the note of the drained server"] == "__nginx_asked.derived.drain_step == 'remove'"
    assert "force" not in str(tasks)
