"""Which apps have left the inventory, and what the playbook `remove` refuses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.leaving import (
    first_of_machines,
    left_apps,
    package_names,
    removed,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.plans import Run, removal

GROUPS = {"load_balancers": ["web"], "app_servers": ["shop", "blog"]}


def inventory(*apps: str, **more: Any) -> dict[str, Any]:
    """Two entries for one machine, on which there are these apps."""
    host = {"packages": {}, "apps": dict.fromkeys(apps, ""), "sites": {}, "left": {}, "users": ["root"], **more}
    names = {"web": {}, "shop": {"app_name": "shop"}, "blog": {"app_name": "blog"}}
    return {name: {**own, "ansible_host": "192.0.2.1", "__fastapi_host": host} for name, own in names.items()}


def removal_problems(groups: Any, hostvars: Any, **given: Any) -> list[str]:
    """Why the playbook `remove` cannot do what its parameters say."""
    return removal(Run(groups, hostvars, hosts=list(hostvars)), given).problems


def test_an_app_that_another_entry_of_the_same_machine_has_is_none_that_left():
    assert left_apps(GROUPS, inventory("shop", "blog"), ["web", "shop", "blog"]) == []


def test_an_app_that_no_entry_has_is_named_once_for_a_machine():
    (sentence,) = left_apps(GROUPS, inventory("shop", "old"), ["web", "shop", "blog"])
    assert sentence.startswith("web still has the app old, which is not in the inventory for it any more: ")


def test_a_host_that_was_not_read_has_no_apps():
    hosts = inventory("old")
    del hosts["web"]["__fastapi_host"]
    assert left_apps(GROUPS, hosts, ["web"]) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "Write -e app=NAME for one app, or -e everything=true for all that the collection has made."),
        ({"app": "old", "everything": "true"}, "Write -e app=NAME for one app, or"),
        ({"app": "odl"}, 'app is "odl", and no server of this inventory has it; there are old (web), shop (web).'),
        ({"app": "../etc"}, 'app is "../etc", which is not a name of an app; there are old (web), shop (web).'),
        ({"app": "old", "packages": "nginx"}, "packages is for -e everything=true, because other apps may need them."),
        (
            {"everything": "yes", "packages": "nginx,bash"},
            "packages has bash; write some of certbot, keepalived, nginx,",
        ),
    ],
)
def test_what_cannot_be_removed_is_refused(given, sentence):
    (problem,) = removal_problems(GROUPS, inventory("shop", "old"), **given)
    assert problem.startswith(sentence)


@pytest.mark.parametrize("app", ["old", "shop", "blog"])
def test_what_a_server_or_the_inventory_has_can_be_removed(app):
    assert removal_problems(GROUPS, inventory("shop", "old"), app=app) == []


@pytest.mark.parametrize(
    "trace",
    [{"left": {"shpo": ""}}, {"sites": {"shpo": {}}}, {"users": ["root", "shpo_"]}],
    ids=lambda trace: next(iter(trace)),
)
def test_a_name_of_which_something_is_left_is_no_mistyped_one(trace):
    assert removal_problems(GROUPS, inventory("shop"), app="shpo") != []
    assert removal_problems(GROUPS, inventory("shop", **trace), app="shpo") == []


def test_what_came_from_another_inventory_is_left_alone_and_named():
    hosts = inventory()
    for host in hosts.values():
        host["__fastapi_host"] |= {"inventory": "mine", "apps": {"shop": "mine", "news": "theirs", "old": ""}}
    sentences = left_apps(GROUPS, hosts, ["web"])
    assert sentences[0] == "web has the app news of the inventory theirs, which is left alone."
    assert sentences[1].startswith("web still has the app old, ")
    assert len(sentences) == 2
    (problem,) = removal_problems(GROUPS, hosts, app="news")
    assert problem == (
        "news on web came from the inventory theirs; remove it with that one, or with "
        "-e app=news -e fastapi_inventory=theirs."
    )
    assert removal_problems(GROUPS, hosts, everything=True) == [problem]
    for host in hosts.values():
        host["__fastapi_host"]["inventory"] = "theirs"
    assert removal_problems(GROUPS, hosts, app="news") == []


def test_a_site_of_another_inventory_holds_everything_up():
    hosts = inventory("shop", inventory="mine", sites={"news": {"name": "news", "inventory": "theirs"}})
    (problem,) = removal_problems(GROUPS, hosts, everything=True)
    assert problem.startswith("news on web came from the inventory theirs; ")


def test_a_second_time_without_any_trace_changes_nothing_and_says_what_there_is():
    assert removal_problems(GROUPS, inventory("shop"), app="newsletter") == []
    assert removed(inventory("shop"), "web", {"gone": [], "stays": []}, False) == [
        "nothing of it is on web; there are shop (web)"
    ]


def test_what_would_go_and_what_stays_is_said():
    found = {"gone": ["user shop"], "stays": ["/srv/shop/shared"]}
    assert removed({}, "web", found, True) == ["would go: user shop", "stays: /srv/shop/shared"]
    assert removed({}, "web", found, False) == ["gone: user shop", "stays: /srv/shop/shared"]


def test_each_machine_is_meant_once():
    hosts = {**inventory(), "other": {"ansible_host": "192.0.2.2"}}
    assert first_of_machines(["shop", "blog", "other", "web"], hosts) == ["shop", "other"]


def test_packages_are_a_text_or_a_list():
    assert (
        package_names(" nginx, redis-server,") == package_names(["nginx", "redis-server"]) == ["nginx", "redis-server"]
    )
