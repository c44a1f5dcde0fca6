"""How the servers of a site share its requests, as Nginx is told it."""

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.sites import site_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.sites import sites
from ansible_collections.production.fastapi.plugins.plugin_utils.upstream import upstream

TWO = ["10.0.0.1:8000", "10.0.0.2:8000"]
SITE = {"name": "shop", "domains": ["shop.example.com"], "servers": TWO}


@pytest.mark.parametrize(
    ("balance", "directives"),
    [
        ({}, []),
        ({"balance": "round_robin"}, []),
        ({"balance": "least_conn"}, ["least_conn"]),
        ({"balance": "ip_hash"}, ["ip_hash"]),
        ({"balance": "hash", "balance_key": "$cookie_session"}, ["hash $cookie_session consistent"]),
        ({"balance": "random_two"}, ["random two least_conn"]),
    ],
)
def test_the_strategy_stands_before_the_servers(balance, directives):
    failures = "max_fails=3 fail_timeout=5s"
    servers = [f"server {address} {failures}" for address in TWO]
    assert upstream({**SITE, **balance}) == ["zone fastapi_shop@servers 128k", *directives, *servers]
    assert site_problems([{**SITE, **balance}]) == []


def test_a_server_alone_is_never_left_alone():
    assert upstream({**SITE, "servers": ["unix:/run/shop/http.sock"]})[1:] == ["server unix:/run/shop/http.sock"]


def test_a_server_says_its_weight_its_part_and_that_it_is_drained():
    first = {"address": TWO[0], "weight": 3, "drained": True}
    second = {"address": TWO[1], "backup": True}
    assert upstream({**SITE, "servers": [first, second], "max_fails": 0, "fail_timeout": 60})[1:] == [
        "server 10.0.0.1:8000 weight=3 down max_fails=0 fail_timeout=60s",
        "server 10.0.0.2:8000 backup max_fails=0 fail_timeout=60s",
    ]


def test_the_inventory_says_weight_and_backup_of_a_member():
    member = {"app_name": "shop", "ansible_host": "10.0.0.1", "gunicorn_bind": "0.0.0.0:8000"}
    hostvars = {
        "app1": {**member, "app_weight": 3},
        "app2": {**member, "ansible_host": "10.0.0.2", "app_backup": "true"},
        "app3": {**member, "ansible_host": "203.0.113.3", "private_address": "10.0.0.3", "app_weight": 1},
        "lb": {},
    }
    (site,) = sites({"app_servers": ["app1", "app2", "app3"], "load_balancers": ["lb"]}, hostvars, "lb")
    assert site["servers"] == [
        {"address": "10.0.0.1:8000", "weight": 3},
        {"address": "10.0.0.2:8000", "backup": True},
        "10.0.0.3:8000",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"balance": "fair"},
            "its balance is 'fair'; write one of round_robin, least_conn, ip_hash, hash, random_two.",
        ),
        ({"balance": "hash"}, "its balance_key is ''; write what the hash is of, such as $cookie_session."),
        ({"balance": "hash", "balance_key": "$a; drop"}, "its balance_key is '$a; drop'; write what the hash is of"),
        ({"balance": "ip_hash", "balance_key": "$uri"}, "it has a balance_key, which only balance hash uses"),
        ({"max_fails": -1}, "its max_fails is -1; write a whole number from 0."),
        ({"fail_timeout": 0}, "its fail_timeout is 0; write a whole number from 1."),
        (
            {"servers": [{"address": TWO[0], "weight": 0}]},
            "the weight (app_weight) of 10.0.0.1:8000 is 0; write a whole number from 1.",
        ),
        (
            {"servers": [{"address": TWO[0], "backup": True}]},
            "all of its servers are backups (app_backup); make at least one a regular server.",
        ),
        ({"servers": [{"address": "app1:8000"}]}, "'app1:8000' in its servers (gunicorn_bind) is not an address"),
    ],
)
def test_what_nginx_would_refuse_is_refused_in_words(change, sentence):
    (problem,) = site_problems([{**SITE, **change}])
    assert problem.startswith(f"Site shop: {sentence}")


@pytest.mark.parametrize("balance", [{"balance": "ip_hash"}, {"balance": "hash", "balance_key": "$uri"},
                                     {"balance": "random_two"}])  # fmt: skip
def test_a_backup_needs_a_strategy_that_has_an_order(balance):
    servers = [TWO[0], {"address": TWO[1], "backup": True}]
    (problem,) = site_problems([{**SITE, **balance, "servers": servers}])
    assert f"10.0.0.2:8000 is a backup (app_backup), which Nginx refuses with balance {balance['balance']}" in problem
    assert site_problems([{**SITE, "balance": "least_conn", "servers": servers}]) == []
