"""In which order machines are upgraded, and what is refused."""

from ansible_collections.production.fastapi.plugins.plugin_utils.patching import (
    patch_plan,
    patch_problems,
    patch_questions,
)

GROUPS = {"load_balancers": ["lb1", "lb2"], "app_servers": ["app1", "app2"], "redis_servers": ["app1"]}
ALL = ["lb1", "lb2", "app1", "app2"]


def inventory(*away, by="drain"):
    """Two load balancers, of which the first knows who is away, and two servers."""
    servers = {
        f"app{n}": {"app_name": "shop", "app_domains": ["shop.example.com"], "ansible_host": f"10.0.0.{n}"}
        for n in (1, 2)
    }
    return {"lb1": {"__fastapi_host": {"drained": {name: {"by": by} for name in away}}}, "lb2": {}, **servers}


def test_app_servers_come_before_load_balancers():
    plan = patch_plan(GROUPS, inventory())
    assert [entry["host"] for entry in plan] == ["app1", "app2", "lb1", "lb2"]
    assert [entry["drains"] for entry in plan] == [["app1"], ["app2"], [], []]
    assert [entry["balancers"] for entry in plan] == [[], [], ["lb1"], ["lb2"]]


def test_what_an_operator_has_drained_is_left_so():
    plan = patch_plan(
        {**GROUPS, "app_servers": ["app1", "app2", "app3"]}, {**inventory("app2"), "app3": {"app_name": "shop"}}
    )
    assert {entry["host"]: entry["drains"] for entry in plan if entry["servers"]} == {
        "app1": ["app1"],
        "app2": [],
        "app3": ["app3"],
    }


def test_what_an_upgrade_has_left_drained_is_taken_up():
    plan = patch_plan(GROUPS, inventory("app2", by="patch"))
    assert {entry["host"]: (entry["drains"], entry["resumes"]) for entry in plan if entry["servers"]} == {
        "app1": (["app1"], []),
        "app2": (["app2"], ["app2"]),
    }
    # An operator has drained it, too, on the other load balancer.
    both = inventory("app2", by="patch") | {"lb2": {"__fastapi_host": {"drained": {"app2": {"by": "drain"}}}}}
    assert [entry["drains"] for entry in patch_plan(GROUPS, both, "app2")] == [[]]


def state(**read):
    """What `server_state` has read of a server before the upgrade."""
    return {"__patch_before": read}


def test_a_server_that_does_not_run_goes_on_for_nobody():
    hostvars = inventory()
    hostvars["app2"] |= state(apps={"shop": {"state": "failed"}})
    (problem,) = patch_problems(GROUPS, hostvars, ALL)
    assert problem.startswith("app1 is the only server of the app shop that runs and is not drained")
    assert patch_problems(GROUPS, hostvars, ALL, only="app2") == []
    assert [entry["drains"] for entry in patch_plan(GROUPS, hostvars, "app2")] == [[]]


def test_a_load_balancer_whose_nginx_is_stopped_goes_on_for_nobody():
    hostvars = inventory()
    hostvars["lb1"] |= state(services={"nginx": "inactive"})
    (problem,) = patch_problems(GROUPS, hostvars, ALL)
    assert problem.startswith(
        "lb2 is the only load balancer whose Nginx runs, so its upgrade is an outage; add another"
    )
    assert patch_problems(GROUPS, hostvars, ALL, only="lb1,app1") == []


def test_two_apps_of_one_server_are_one_machine():
    hostvars = inventory() | {"blog1": {"app_name": "blog", "ansible_host": "10.0.0.1"}, "blog2": {"app_name": "blog"}}
    plan = patch_plan({**GROUPS, "app_servers": ["app1", "app2", "blog1", "blog2"]}, hostvars)
    assert plan[0] == {
        "host": "app1",
        "servers": ["app1", "blog1"],
        "balancers": [],
        "drains": ["app1", "blog1"],
        "resumes": [],
    }


def test_only_some_machines():
    assert [entry["host"] for entry in patch_plan(GROUPS, inventory(), "lb2, app2")] == ["app2", "lb2"]


def test_a_cluster_of_two_each_can_be_upgraded():
    assert patch_problems(GROUPS, inventory(), ALL) == []


def test_what_clients_would_notice_is_refused_until_it_is_allowed():
    groups = {**GROUPS, "load_balancers": ["lb1"]}
    (server, balancer) = patch_problems(groups, inventory("app2"), ["lb1", "app1", "app2"])
    assert server == (
        "app1 is the only server of the app shop that runs and is not drained, so its upgrade is an outage; add, start "
        "or undrain another one, or write -e outage=true."
    )
    assert balancer.startswith("lb1 is the only load balancer whose Nginx runs, so its upgrade is an outage; add ")
    assert patch_problems(GROUPS, inventory("app2"), ALL, outage="true") == []
    assert patch_problems(GROUPS, inventory("app2"), ALL, only="app2") == []


def test_a_single_server_is_an_outage():
    groups = {"load_balancers": ["web1"], "app_servers": ["web1"]}
    assert [problem.split(",")[0] for problem in patch_problems(groups, {"web1": {}}, ["web1"])] == [
        "web1 is the only server of the app app that runs and is not drained",
        "web1 is the only load balancer whose Nginx runs",
    ]
    assert patch_plan(groups, {"web1": {}})[0]["drains"] == []


def test_bad_input_is_refused_by_a_sentence():
    assert patch_problems(GROUPS, inventory(), ["app1", "lb1", "lb2"], only="app9", reboot="maybe") == [
        "reboot is 'maybe'; write -e reboot= with one of auto, always, never.",
        "only has 'app9'; write -e only=NAME with one or more of app1, app2, lb1, lb2.",
        "This run leaves out app2, but all servers must take part while one is down; write -e only=NAME instead "
        "of --limit.",
    ]


def test_one_question_for_each_public_app():
    hostvars = inventory()
    hostvars["app1"]["gunicorn_readiness_path"] = "/readyz"
    hostvars["app2"] |= {"app_name": "payments", "app_public": False}
    assert patch_questions(GROUPS, hostvars) == [{"app": "shop", "domain": "shop.example.com", "path": "/readyz"}]


def test_a_machine_with_a_load_balancer_comes_last_whatever_else_it_has():
    hostvars = inventory() | {"lb1": {"ansible_host": "10.0.0.1"}}
    assert [entry["host"] for entry in patch_plan(GROUPS, hostvars)] == ["app2", "app1", "lb2"]
