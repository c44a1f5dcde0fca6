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
        (["Inst a", "Conf a"], "never", [], [], (True, "1 package to upgrade")),
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
        "app1": {"__patch_todo": True, "__patch_done": "1 package upgraded"},
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
    assert PLANS["removed"](RUN, {"result": gone}).shown == ["gone: the app shop", "stays: nginx"]
    check = Run(GROUPS, HOSTVARS, host="app1", check_mode=True)
    assert PLANS["removed"](check, {"result": gone}).shown[0] == "would go: the app shop"


def test_apps_that_have_left_are_warnings() -> None:
    seen = {"packages": {}, "apps": {"old": ""}, "inventory": ""}
    run = Run({"app_servers": ["a"]}, {"a": {"__fastapi_host": seen}}, hosts=["a"])
    (line,) = PLANS["left"](run, {}).warnings
    assert line.startswith("a still has the app old")
    assert PLANS["left"](RUN, {}).warnings == []


def test_the_status_is_a_report_a_table_and_a_page() -> None:
    told = {"msg": "connection refused"}
    run = Run({"app_servers": ["a"]}, {"a": {"told": told}})
    plan = PLANS["status"](run, {"variable": "told", "now": "2026-01-01 00:00 UTC"})
    assert plan.values["report"]["problems"] == ["a cannot be asked: connection refused"]
    assert any("connection refused" in line for line in plan.shown)
    assert "2026-01-01 00:00 UTC" in plan.values["page"]


def test_the_doctor_tells_problems_and_lines() -> None:
    plan = PLANS["doctor"](Run({}, {}), {"variable": "__doctor"})
    assert plan.values["verdict"].startswith("Problems in the way of a run: 2.")
    assert plan.shown[0] == "Problems:"


def test_a_canary_is_compared_by_the_releases_that_it_has() -> None:
    def answers(server: str, release: str, errors: int) -> dict[str, Any]:
        return {"server": server, "release": release, "errors": errors, "times": {"10": 100}, "probe": False}

    run = Run(GROUPS, {"app1": {"app_release": {"release": {"name": "two"}}}})
    limits = {"max_errors": 1, "max_slowdown": 2, "min_requests": 50}
    given = {"canaries": ["app1"], "limits": limits}
    for errors, well in ((0, True), (50, False)):
        reading = [answers("app1", "two", errors), answers("app1", "one", 99), answers("app2", "one", 0)]
        assert (PLANS["canary"](run, given | {"answers": [reading]}).values["problem"] == "") is well


def noticed(before: tuple[int, int], during: tuple[int, int], after: tuple[int, int]) -> dict[str, Any]:
    """A receipt with the requests and the failures of each phase."""
    phases = {"before": before, "during": during, "after": after}
    return {"phases": [{"name": name, "requests": of, "failed": bad} for name, (of, bad) in phases.items()], "page": ""}


@pytest.mark.parametrize(
    ("receipt", "allowed", "well"),
    [
        (noticed((100, 0), (50, 1), (50, 0)), 1, True),
        (noticed((100, 0), (50, 1), (50, 1)), 1, False),
        (noticed((100, 1), (50, 1), (50, 1)), "1", True),
        (noticed((0, 0), (0, 0), (0, 0)), 0, True),
        (noticed((100, 0), (199, 1), (1, 0)), 0.4, False),
    ],
)
def test_more_failures_than_before_are_within_the_budget_or_refused(
    receipt: dict[str, Any], allowed: Any, well: bool
) -> None:
    assert (PLANS["budget"](RUN, {"noticed": receipt, "allowed": allowed}).problems == []) is well


def test_a_budget_that_is_spent_is_told_in_figures() -> None:
    receipt = noticed((100, 1), (50, 4), (50, 6)) | {"page": "receipts/shop.html"}
    assert PLANS["budget"](RUN, {"noticed": receipt, "allowed": 1}).problems == [
        "Of 100 requests through Nginx from the switch on 10 failed, of 100 before it 1; app_receipt_budget allows 1"
        " in a hundred more. The receipt says which: receipts/shop.html"
    ]


@pytest.mark.parametrize(
    ("before", "release", "said", "line"),
    [
        ("", "8beb251067-f6", {}, "shop: nothing → 8beb2510 on 2 hosts"),
        ("76e2017b00-f6", "8beb251067-f6", {"line": "9 requests"}, "shop: 76e2017b → 8beb2510 on 2 hosts; 9 requests"),
        (
            "8beb251067-aa",
            "8beb251067-f6",
            {"problem": "disk full"},
            "shop: 8beb251067-aa → 8beb251067-f6 on 2 hosts; there is no receipt: disk full",
        ),
    ],
)
def test_what_was_deployed_is_one_line(before: str, release: str, said: dict[str, str], line: str) -> None:
    given = {"app": "shop", "before": before, "release": release, "servers": ["app1", "app2"], "noticed": said}
    given |= {"asked": ["lb1", "lb2"], "domains": ["shop.example.com"], "public": True}
    assert PLANS["deployed"](RUN, given).shown == [line]
    one = PLANS["deployed"](RUN, given | {"servers": ["app1"]}).shown[0]
    assert "on 1 host" in one
    assert "hosts" not in one


def test_what_was_not_checked_through_nginx_is_said() -> None:
    """With the PROXY protocol the probe cannot ask Nginx; or the release before did not answer."""
    run = Run({"load_balancers": ["lb1", "lb2"]}, {})
    given = {"app": "shop", "before": "one", "release": "two", "servers": ["app1"], "noticed": {}}
    given |= {"asked": ["lb1"], "domains": ["shop.example.com"], "public": True}
    told = "shop: one → two on 1 host"
    (line,) = PLANS["deployed"](run, given).shown
    assert line == f"{told}; not checked through Nginx on lb2, where the app did not answer before the deploy"
    for nothing_to_ask in ({"asked": ["lb1", "lb2"]}, {"domains": []}, {"public": "false"}):
        assert PLANS["deployed"](run, given | nothing_to_ask).shown == [told]
    assert PLANS["deployed"](run, given | {"before": ""}).shown == ["shop: nothing → two on 1 host"]


def test_what_cannot_be_run_is_refused() -> None:
    assert PLANS["certs"](RUN, {"action": "dry-run"}).problems == []
    assert PLANS["certs"](RUN, {"action": "erase"}).problems == ["action is erase; write show, renew or dry-run."]
    assert PLANS["command"](RUN, {"command": "python -m shop", "strays": []}).problems == []
    (empty,) = PLANS["command"](RUN, {"command": "", "strays": ["--name"]}).problems
    assert empty.startswith("Say what to run")
    (torn,) = PLANS["command"](RUN, {"command": "python", "strays": ["--name"]}).problems
    assert torn.startswith("The shell has not kept the command together")
    assert PLANS["command_end"](RUN, {"code": 0}).problems == []
    assert PLANS["command_end"](RUN, {"code": 3}).problems == ["The command ended with exit code 3."]


def test_a_rollback_says_what_was_before() -> None:
    switched = {"live": "two", "previous": "one", "changed": True}
    assert PLANS["went_back"](RUN, {"switch": switched}).shown == ["two is live; one was before."]
    again = {"live": "two", "previous": "", "changed": False}
    assert PLANS["went_back"](RUN, {"switch": again}).shown == ["two is live already; nothing was before."]


def test_releases_are_told_without_what_ansible_adds() -> None:
    known = {"name": "shop", "live": "two", "previous": "one", "releases": ["one", "two"]}
    run = Run(GROUPS, {"app1": {"gunicorn_releases": known | {"changed": False, "table": []}}})
    assert PLANS["releases"](run, {"hosts": ["app1"]}).values == {"told": {"app1": known}}


def test_a_deploy_without_trouble_has_no_last_word() -> None:
    given = {"wishes": {}, "reached": ["app1"], "troubles": []}
    assert PLANS["deploy_end"](RUN, given).values == {"outcome": "live", "message": ""}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_documented_and_some_playbook_asks_for_it(name: str) -> None:
    module = (ROOT / "plugins/modules/plan.py").read_text()
    documented = yaml.safe_load(module.split('"""')[3])["options"]["of"]["choices"]
    assert documented == sorted(PLANS)
    files = [*(ROOT / "playbooks").glob("**/*.yml"), *(ROOT / "roles").glob("*/tasks/*.yml")]
    assert f"of: {name}\n" in "".join(path.read_text() for path in files)


# What an app printed

SECRETS = {"environment": {"TOKEN": "hunter2-and-more"}, "files": {"key.pem": "pl4nted-line"}}


@pytest.mark.parametrize(
    ("rc", "printed", "expected"),
    [
        (1, "no hunter2-and-more", "ended with exit code 1. The last lines of what it printed:\n  no ********"),
        (124, "", "took longer than 900 s and was ended."),
    ],
)
def test_a_command_of_a_deploy_that_failed_says_why_without_secrets(rc: int, printed: str, expected: str) -> None:
    ran = {"rc": rc, "stdout": printed, "stderr": ""}
    given = {"step": "The migration", "command": "alembic upgrade head", "ran": ran, "limit": 900, **SECRETS}
    assert PLANS["app_command"](RUN, given).problems == [f"The migration, alembic upgrade head, {expected}"]


def test_a_database_that_does_not_say_its_revision_is_a_problem() -> None:
    ran = {"rc": 1, "stdout": "", "stderr": "KeyError: pl4nted-line"}
    (problem,) = PLANS["schema"](RUN, {"ran": ran, **SECRETS}).problems
    assert problem.endswith("ended with exit code 1. The last lines of what it printed:\n  KeyError: ********")


@pytest.mark.parametrize("reader", [{"stderr": "no hunter2-and-more"}, {"stderr": "", "msg": "no hunter2-and-more"}])
def test_a_log_that_cannot_be_read_is_a_problem(reader: dict[str, str]) -> None:
    assert PLANS["app_log"](RUN, {"reader": reader, **SECRETS}).problems == ["The log cannot be read: no ********"]
