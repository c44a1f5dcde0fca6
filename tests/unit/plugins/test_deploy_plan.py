"""Who deploys together, in which batches, and by which steps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils.deploy_plan import batches, deploy_plan

SERVERS = [f"app{number}" for number in range(1, 8)]


@pytest.mark.parametrize(
    ("servers", "sizes", "lengths"),
    [
        (0, [1], []),
        (1, [1, "50%"], [1]),
        (2, [1, "50%"], [1, 1]),
        (3, [1, "50%"], [1, 2]),
        (7, [1, "50%"], [1, 4, 2]),
        (7, ["100%"], [7]),
        (7, [1], [1] * 7),
        (7, [2, 10], [2, 5]),
        (7, ["1%"], [1] * 7),
    ],
)
def test_the_last_size_holds_for_all_that_remain(servers, sizes, lengths):
    found = batches(SERVERS[:servers], sizes)
    assert [len(batch) for batch in found] == lengths
    assert [server for batch in found for server in batch] == SERVERS[:servers]


@pytest.mark.parametrize("sizes", [[], [0], ["0%"], ["101%"], [-1], ["half"], [1.5]])
def test_a_size_that_is_none_is_refused(sizes):
    with pytest.raises(AnsibleFilterError, match=r"^app_batches (has|is)"):
        batches(SERVERS, sizes)


STEPS = Path(__file__).parents[3] / "playbooks/steps/deploy"


def wishes(app="shop", *, changes=True, sizes=(1,), migrates=False):
    """What the checks have registered on a server."""
    release = {"name": "two" if changes else "one"}
    return {
        "app_release": {"release": release, "live": "one", "complete": True, "unfinished": False},
        "__app_checked": {"settings": {"app_name": app, "app_batches": list(sizes)}, "derived": {"migrates": migrates}},
    }


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ({}, False),
        ({"live": "zero"}, True),
        ({"live": ""}, True),
        ({"complete": False}, True),
        ({"unfinished": True}, True),
    ],
    ids=str,
)
def test_a_deploy_is_what_changes_the_live_release_or_ends_one_that_was_interrupted(found, changes):
    hostvars = {"app1": wishes(changes=False)}
    hostvars["app1"]["app_release"] |= found
    plan = deploy_plan(["app1"], hostvars)["shop"]
    assert plan["new"] is changes
    assert plan["wishes"] == {
        "app1": {
            "app": "shop",
            "release": "one",
            "live": found.get("live", "one"),
            "changes": changes,
            "batches": [1],
            "migrates": False,
        }
    }


def names(plan):
    return [f"{step['name']} {step['batch']}" if step["name"] in ("switch", "watch") else step["name"] for step in plan]


def test_a_new_release_goes_through_all_steps():
    (plan,) = deploy_plan(["app1"], {"app1": wishes(migrates=True)}).values()
    assert names(plan["steps"]) == ["begin", "build", "migrate", "switch 0", "verify", "back"]
    assert [step["name"] for step in plan["steps"] if step["after"] == "trouble"] == ["back"]
    assert all((STEPS / f"{step['name']}.yml").is_file() for step in plan["steps"])


def test_a_canary_is_a_server_of_the_first_batch_that_had_a_release():
    hostvars = {name: wishes(sizes=(2,)) for name in SERVERS[:3]}
    hostvars["app2"]["app_release"]["live"] = ""
    plan = deploy_plan(SERVERS[:3], hostvars)["shop"]
    assert (plan["batches"], plan["canaries"]) == ([["app1", "app2"], ["app3"]], ["app1"])


def test_servers_that_are_not_in_the_run_are_of_the_app_too():
    hostvars = {"app1": wishes() | {"app_name": "shop"}, "app2": {"app_name": "shop"}, "mail": {"app_name": "mail"}}
    assert deploy_plan(["app1"], hostvars, ["app1", "mail", "app2"])["shop"]["all"] == ["app1", "app2"]


def test_each_batch_but_the_last_is_watched():
    hostvars = {name: wishes(sizes=(1,)) for name in SERVERS[:3]}
    plan = deploy_plan(SERVERS[:3], hostvars)["shop"]
    assert plan["batches"] == [["app1"], ["app2"], ["app3"]]
    assert names(plan["steps"]) == [
        "begin",
        "build",
        *["switch 0", "watch 0", "switch 1", "watch 1", "switch 2"],
        "verify",
        "back",
    ]


def test_without_a_new_release_there_is_one_batch_and_nothing_to_begin():
    plan = deploy_plan(SERVERS[:3], {name: wishes(changes=False) for name in SERVERS[:3]})["shop"]
    assert [wished["changes"] for wished in plan.pop("wishes").values()] == [False] * 3
    assert plan == {
        "servers": SERVERS[:3],
        "new": False,
        "batches": [SERVERS[:3]],
        "canaries": [],
        "all": [],
        "steps": [
            {"name": name, "batch": 0, "after": "success", "of": "build 0 switch 0"} for name in ("build", "switch")
        ],
    }


def test_one_server_with_a_new_release_makes_it_a_deploy_of_all():
    plan = deploy_plan(SERVERS[:2], {"app1": wishes(changes=False), "app2": wishes()})["shop"]
    assert plan["new"]
    assert plan["batches"] == [["app1"], ["app2"]]


def test_each_app_has_a_plan_of_its_own():
    hostvars = {"shop1": wishes(), "blog1": wishes("blog", changes=False), "shop2": wishes(), "new": {}}
    plans = deploy_plan(["shop1", "blog1", "shop2", "new"], hostvars)
    assert {app: plan["servers"] for app, plan in plans.items()} == {"shop": ["shop1", "shop2"], "blog": ["blog1"]}
    assert not plans["blog"]["new"]


def test_apps_share_a_step_only_when_they_have_the_same_steps():
    hostvars = {"shop": wishes(changes=False), "blog": wishes("blog"), "wiki": wishes("wiki"), "news": wishes("news")}
    hostvars["news"]["__app_checked"]["derived"]["migrates"] = True
    plans = deploy_plan(list(hostvars), hostvars)
    assert plans["blog"]["steps"] == plans["wiki"]["steps"]
    for one, other in (("shop", "blog"), ("blog", "news"), ("shop", "news")):
        assert not [step for step in plans[one]["steps"] if step in plans[other]["steps"]]


PLAY = """
- hosts: all
  gather_facts: false
  connection: local
  vars: {{__steps: deploy, __troubles: []}}
  tasks:
    - production.fastapi.plan: {{of: deploy}}
      run_once: true
      register: __planned
    - ansible.builtin.include_tasks: {guarded}
      loop: "{{{{ __planned.plan[__app_checked.settings.app_name].steps }}}}"
      loop_control: {{loop_var: __step}}
"""


def test_each_app_goes_through_its_steps_in_their_order(tmp_path):
    """A real run of the loop, with steps that only write down their names."""
    (tmp_path / "deploy").mkdir()
    for name in {path.stem for path in STEPS.glob("*.yml")}:
        line = f"echo {name} >>{tmp_path}/{{{{ inventory_hostname }}}}"
        (tmp_path / f"deploy/{name}.yml").write_text(f"- ansible.builtin.shell: {line}\n")
    (tmp_path / "guarded.yml").write_text((STEPS.parent / "guarded.yml").read_text())
    (tmp_path / "play.yml").write_text(PLAY.format(guarded=tmp_path / "guarded.yml"))
    hosts = {
        "shop": wishes(changes=False),
        "blog1": wishes("blog", sizes=(1,)),
        "blog2": wishes("blog", sizes=(1,)),
        "wiki": wishes("wiki", migrates=True),
    }
    python = {"ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {name: {**found, **python} for name, found in hosts.items()}}}
    (tmp_path / "hosts.yml").write_text(json.dumps(inventory))
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"],
        cwd=STEPS.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    went = {name: (tmp_path / name).read_text().split() for name in hosts}
    assert went == {
        "shop": ["build", "switch"],
        "blog1": ["begin", "build", "switch", "watch", "switch", "verify"],
        "blog2": ["begin", "build", "switch", "watch", "switch", "verify"],
        "wiki": ["begin", "build", "migrate", "switch", "verify"],
    }
