"""What playbooks work out from the inventory, as the action `plan` returns it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.production.fastapi.plugins.plugin_utils.plans import PLANS, Run

ROOT = Path(__file__).parents[3]
GROUPS = {"app_servers": ["app1", "app2"], "load_balancers": ["lb1", "lb2"]}
HOSTVARS: dict[str, dict[str, Any]] = {
    name: {"app_name": "shop", "app_domains": ["shop.example.com"]} for name in ("app1", "app2", "lb1", "lb2")
}
RUN = Run(GROUPS, HOSTVARS, host="app1", hosts=list(HOSTVARS))


def test_a_machine_that_serves_goes_before_a_load_balancer() -> None:
    plan = PLANS["patch"](RUN, {"only": "lb1,app2"})
    assert [machine["host"] for machine in plan.values["machines"]] == ["app2", "lb1"]
    assert [question["domain"] for question in plan.values["questions"]] == ["shop.example.com"]
    refused = PLANS["patch"](RUN, {"reboot": "maybe"})
    assert (refused.values, len(refused.problems)) == ({}, 1)


MACHINES = [{"host": "app1", "drains": ["app1"], "resumes": []}, {"host": "app2", "drains": ["app2"], "resumes": []}]


@pytest.mark.parametrize(
    ("simulated", "reboot", "reasons", "resumes", "expected"),
    [
        ([], "auto", [], [], (False, "0 packages to upgrade")),
        (["Inst a", "Conf a", "Inst b"], "never", [], [], (True, "2 packages to upgrade")),
        ([], "auto", ["a kernel"], [], (True, "0 packages to upgrade; waits for a reboot: a kernel")),
        ([], "never", ["a kernel"], [], (False, "0 packages to upgrade; waits for a reboot: a kernel")),
        ([], "always", [], [], (True, "0 packages to upgrade")),
        ([], "never", [], ["app1"], (True, "0 packages to upgrade")),
    ],
)
def test_a_machine_is_upgraded_for_a_package_a_reboot_or_to_go_on(
    simulated: list[str], reboot: str, reasons: list[str], resumes: list[str], expected: tuple[bool, str]
) -> None:
    run = Run(GROUPS, {"app1": {"__patch_before": {"reboot_reasons": reasons}}}, host="app1")
    given = {"machines": [MACHINES[0] | {"resumes": resumes}, MACHINES[1]], "simulated": simulated, "reboot": reboot}
    plan = PLANS["patch_todo"](run, given).values
    assert (plan["wanted"], plan["line"]) == expected


def test_an_upgrade_that_stopped_says_what_is_done_left_and_drained() -> None:
    hostvars: dict[str, dict[str, Any]] = {
        "app1": {"__patch_todo": True, "__patch_done": "1 packages upgraded"},
        "app2": {"__patch_todo": True, "__patch_done": ""},
        "lb1": {"__fastapi_host": {"drained": {"app2": {"by": "patch"}, "app9": {"by": "drain"}}}},
    }
    run = Run({**GROUPS, "load_balancers": ["lb1"]}, hostvars)
    assert PLANS["patch_end"](run, {"machines": MACHINES, "troubles": ["app2, Reboot: timed out."]}).problems == [
        "The upgrade stopped: app2, Reboot: timed out; done: app1; left: app2;"
        " still drained, until patch or undrain: app2."
    ]
    hostvars["app1"]["__patch_done"] = hostvars["lb1"]["__fastapi_host"] = ""
    assert PLANS["patch_end"](run, {"machines": MACHINES[:1], "troubles": ["No"]}).problems == [
        "The upgrade stopped: No; done: none; left: app1."
    ]


def test_a_removal_is_planned_for_one_host_of_each_machine() -> None:
    one = {"ansible_host": "10.0.0.1"}
    run = Run({"app_servers": ["a", "b"]}, {"a": one, "b": one}, hosts=["a", "b"])
    plan = PLANS["removal"](run, {"everything": "yes", "packages": "nginx, certbot"})
    assert (plan.values, plan.problems) == ({"hosts": ["a"], "packages": ["nginx", "certbot"]}, [])
    assert PLANS["removal"](run, {}).problems == [
        "Write -e app=NAME for one app, or -e everything=true for all that the collection has made."
    ]


def test_what_is_gone_is_told_for_the_host_of_the_task() -> None:
    gone = {"gone": ["the app shop"], "stays": ["nginx"]}
    assert PLANS["removed"](RUN, {"result": gone}).values["lines"] == ["gone: the app shop", "stays: nginx"]
    check = Run(GROUPS, HOSTVARS, host="app1", check_mode=True)
    assert PLANS["removed"](check, {"result": gone}).values["lines"][0] == "would go: the app shop"


def test_apps_that_have_left_are_lines_for_a_person() -> None:
    seen = {"packages": {}, "apps": {"old": ""}, "inventory": ""}
    run = Run({"app_servers": ["a"]}, {"a": {"__fastapi_host": seen}}, hosts=["a"])
    (line,) = PLANS["left"](run, {}).lines
    assert line.startswith("a still has the app old")
    assert PLANS["left"](RUN, {}).lines == []


def test_the_status_is_a_report_a_table_and_a_page() -> None:
    told = {"msg": "connection refused"}
    run = Run({"app_servers": ["a"]}, {"a": {"told": told}})
    plan = PLANS["status"](run, {"variable": "told", "now": "2026-01-01 00:00 UTC"}).values
    assert plan["report"]["problems"] == ["a cannot be asked: connection refused"]
    assert any("connection refused" in line for line in plan["table"])
    assert "2026-01-01 00:00 UTC" in plan["page"]


def test_the_doctor_tells_problems_and_lines() -> None:
    plan = PLANS["doctor"](Run({}, {}), {"variable": "__doctor"}).values
    assert len(plan["problems"]) == 2
    assert plan["lines"][0] == "Problems:"


def test_a_canary_is_compared_by_the_releases_that_it_has() -> None:
    def answers(server: str, release: str, errors: int) -> dict[str, Any]:
        return {"server": server, "release": release, "errors": errors, "times": {"10": 100}, "probe": False}

    run = Run(GROUPS, {"app1": {"app_release": {"release": {"name": "two"}}}})
    limits = {"max_errors": 1, "max_slowdown": 2, "min_requests": 50}
    given = {"canaries": ["app1"], "limits": limits}
    for errors, well in ((0, True), (50, False)):
        reading = [answers("app1", "two", errors), answers("app1", "one", 99), answers("app2", "one", 0)]
        assert (PLANS["canary"](run, given | {"answers": [reading]}).values["problem"] == "") is well


def test_a_deploy_without_trouble_has_no_last_word() -> None:
    given = {"servers": ["app1"], "reached": ["app1"], "troubles": []}
    assert PLANS["deploy_end"](RUN, given).values == {"outcome": "live", "message": ""}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_documented_and_some_playbook_asks_for_it(name: str) -> None:
    module = (ROOT / "plugins/modules/plan.py").read_text()
    documented = yaml.safe_load(module.split('"""')[3])["options"]["of"]["choices"]
    assert documented == sorted(PLANS)
    playbooks = "".join(path.read_text() for path in (ROOT / "playbooks").glob("**/*.yml"))
    assert f"of: {name}\n" in playbooks
