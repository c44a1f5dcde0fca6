"""Two inventories on one server, on hosts from which everything was removed. The order of the tests is part of it."""

from contextlib import ExitStack

import pytest
from asking import ask, on
from hello import NAMES
from load import CLOSED, load
from plays import ROOT, play

REMOVE, STATUS = ROOT / "playbooks" / "remove.yml", ROOT / "playbooks" / "status.yml"


# What is common to all sites of a server is the same in both inventories.
LIMITS = {"nginx_rate_limit_mode": "enforce", "nginx_rate_limit_per_second": 1000}


@pytest.fixture(scope="session")
def ours(inventory):
    # Limits and a cache that the other inventory has no use for.
    limits = [{"rate": "5/m"}, {"key": "X-API-Key", "rate": "5/m"}]
    routes = [{"path": "/limited", "limits": limits}, {"path": "/cached", "cache": 1}]
    return inventory("shop", name="production", app_site={"routes": routes}, **LIMITS)


@pytest.fixture(scope="session")
def theirs(inventory):
    return inventory("blog", name="team", **LIMITS)


def test_the_site_of_another_inventory_is_left_alone_under_load(hosts, ours, theirs):
    play(inventory=ours).succeeded()
    with ExitStack() as stack:
        loads = [stack.enter_context(load(name, "shop.example.com")) for name in NAMES]
        play(inventory=theirs).succeeded()
        for inventory in (ours, theirs):
            again = play(inventory=inventory).succeeded()
            assert set(again.stats("changed").values()) == {0}, again.output
    for result in loads:
        assert result.sent > 50
        assert [line for line in result.failed if not CLOSED.search(line)] == []
    for host in hosts:
        for site in ("shop.example.com", "blog.example.com"):
            assert ask(host, site)[0] == 200
        assert on(host, "/etc/ssl/sites/certificates show").count("example.com") == 2


def test_status_and_site_name_it(ours):
    sentence = f"{NAMES[0]} has the app blog of the inventory team, which is left alone."
    assert sentence in play(playbook=STATUS, inventory=ours).succeeded().text
    assert sentence in play(inventory=ours).succeeded().text


def test_a_site_in_the_way_of_the_other_is_refused_before_anything_changes(hosts, inventory):
    run = play(inventory=inventory("shop", name="team"), app_domains=["news.example.com"])
    assert run.returncode != 0
    assert (
        "Site shop: this server has a site shop for shop.example.com from the inventory production; use another"
    ) in run.text
    assert set(run.stats("changed").values()) == {0}


def test_what_came_from_another_inventory_is_removed_by_its_name_only(hosts, ours):
    for parameters in ({"app": "blog"}, {"everything": True}):
        refused = play(playbook=REMOVE, inventory=ours, **parameters)
        assert refused.returncode != 0
        assert "came from the inventory team; remove it with that one, or with" in refused.text
        assert set(refused.stats("changed").values()) == {0}
    play(playbook=REMOVE, inventory=ours, app="blog", fastapi_inventory="team").succeeded()
    for host in hosts:
        assert on(host, "ls -d /srv/blog /etc/ssl/sites/blog /etc/blog 2>/dev/null || true") == ""
        assert ask(host, "shop.example.com")[0] == 200
    again = play(inventory=ours).succeeded()
    assert set(again.stats("changed").values()) == {0}, again.output
