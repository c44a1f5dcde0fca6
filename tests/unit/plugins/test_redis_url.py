"""Where an app finds its Redis, derived from inventories that are plain dictionaries here."""

from urllib.parse import unquote, urlsplit

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import redis
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.host import View
from ansible_collections.production.fastapi.plugins.plugin_utils.redis import (
    SOCKET_URL,
    redis_group,
    redis_url,
)

APP = {"ansible_host": "10.0.0.1"}
REDIS = {"ansible_host": "10.0.0.5", "redis_bind": "10.0.0.5:6379", "redis_password": "a-long-password-of-theirs"}


def derive(app=APP, **redis_servers):
    return redis_url({"redis_servers": list(redis_servers)}, {"app1": app, **redis_servers}, "app1")


@pytest.mark.parametrize("groups", [{}, {"redis_servers": []}])
def test_without_a_redis_there_is_no_url(groups):
    assert redis_url(groups, {}, "app1") == ""


def test_on_one_host_it_is_the_socket():
    assert derive(app1=APP) == SOCKET_URL


def test_two_apps_of_one_machine_share_its_socket():
    assert derive(app={"ansible_host": "10.0.0.9"}, web1={"ansible_host": "10.0.0.9"}) == SOCKET_URL


def test_a_server_that_provisions_itself_has_its_own_under_any_name():
    local = {"ansible_connection": "local"}
    assert derive(app=local, redis=local) == SOCKET_URL


def test_in_a_cluster_it_is_the_address_with_the_password():
    assert derive(redis1=REDIS) == "redis://:a-long-password-of-theirs@10.0.0.5:6379/0"


def test_an_app_on_the_machine_of_the_clusters_redis_uses_the_address_too():
    assert derive(app={"ansible_host": "10.0.0.5"}, redis1=REDIS).endswith("@10.0.0.5:6379/0")


def test_an_ipv6_address_keeps_its_brackets():
    assert derive(redis1={**REDIS, "redis_bind": "[2001:db8::5]:6379"}).endswith("@[2001:db8::5]:6379/0")


def test_a_password_may_have_any_character():
    password = "a/b@c:d%e ümlaut?#&"
    url = urlsplit(derive(redis1={**REDIS, "redis_password": password}))
    assert (unquote(url.password), url.hostname, url.port) == (password, "10.0.0.5", 6379)


def test_complete_servers_have_each_their_own():
    hostvars = {f"web{n}": {"ansible_host": f"10.0.0.{n}"} for n in (1, 2)}
    assert redis_url({"redis_servers": list(hostvars)}, hostvars, "web2") == SOCKET_URL


@pytest.mark.parametrize("bind", [None, "", "127.0.0.1:6379", "redis1:6379"])
def test_a_redis_that_cannot_be_reached_is_refused_by_name(bind):
    with pytest.raises(
        AnsibleFilterError, match=r"app1 cannot reach the Redis of redis1 .* set redis_bind of redis1 to"
    ):
        derive(redis1={**REDIS, "redis_bind": bind})


def test_a_choice_is_not_made_for_the_user():
    with pytest.raises(AnsibleFilterError, match="app1 has to choose between the Redis of redis1, redis2; keep one"):
        derive(redis1=REDIS, redis2={**REDIS, "ansible_host": "10.0.0.6"})


@pytest.mark.parametrize("others", [{"redis2": REDIS}, {}])
def test_no_error_tells_the_password(others):
    with pytest.raises(AnsibleFilterError) as caught:
        derive(redis1={**REDIS, "redis_bind": "127.0.0.1:6379"}, **others)
    assert REDIS["redis_password"] not in str(caught.value)


GROUP = {
    f"redis{n}": {
        "ansible_host": f"10.0.0.{n}",
        "redis_bind": f"10.0.0.{n}:6379",
        "redis_password": "a-long-password-of-theirs",
        "redis_sentinel_password": "another-long-password",
    }
    for n in (5, 6, 7)
}
SENTINELS = "redis+sentinel://:a-long-password-of-theirs@10.0.0.5:26379,10.0.0.6:26379,10.0.0.7:26379/primary/0"


def group_problems(host="redis6", **changed):
    hostvars = {name: {**variables, **changed.get(name, {})} for name, variables in GROUP.items()}
    return redis.group_problems(View(host, {}, {"redis_servers": list(GROUP)}, hostvars))


def test_three_with_an_address_are_found_by_their_sentinels():
    assert derive(**GROUP) == SENTINELS
    assert group_problems() == []


def test_an_app_on_a_machine_of_the_group_asks_the_sentinels_too():
    assert derive(app={"ansible_host": "10.0.0.6"}, **GROUP) == SENTINELS


def test_beside_a_group_a_machine_may_have_a_redis_of_its_own():
    own = {"ansible_host": APP["ansible_host"]}
    assert derive(own=own, **GROUP) == SOCKET_URL
    assert derive(app={"ansible_host": "10.0.0.9"}, own=own, **GROUP) == SENTINELS


def test_sentinels_with_ipv6_and_a_password_of_any_character():
    group = {
        name: {**variables, "redis_bind": f"[2001:db8::{n}]:6380", "redis_password": "a/b@c,d:e"}
        for n, (name, variables) in enumerate(GROUP.items())
    }
    assert derive(**group) == (
        "redis+sentinel://:a%2Fb%40c%2Cd%3Ae@[2001:db8::0]:26379,[2001:db8::1]:26379,[2001:db8::2]:26379/primary/0"
    )


def test_a_member_that_apps_cannot_reach_is_refused_by_name():
    with pytest.raises(AnsibleFilterError, match=r"app1 cannot reach the Redis of redis7 at 127\.0\.0\.1:6379; set"):
        derive(**{**GROUP, "redis7": {**GROUP["redis7"], "redis_bind": "127.0.0.1:6379"}})


def test_a_machine_with_two_names_is_one_member():
    hostvars = {**GROUP, "again": GROUP["redis6"], "own": {"ansible_host": "10.0.0.9"}}
    assert redis_group({"redis_servers": list(hostvars)}, hostvars) == ["redis5", "redis6", "redis7"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"redis7": {"redis_bind": ""}},
            "redis5 and redis6 have a redis_bind, but one of two hosts cannot tell",
        ),
        ({"redis6": {"redis_password": "other"}}, "redis_password of redis6 is not that of redis5, redis7; write it"),
        (
            {"redis5": {"redis_sentinel_password": "another-long-one"}},
            "redis_sentinel_password of redis6 is not that of redis5; write it once, in the variables of the group",
        ),
        ({"redis6": {"redis_bind": "10.0.0.6:26379"}}, "redis_bind is 10.0.0.6:26379, where Sentinel listens; write"),
        (
            {
                "redis5": {"__fastapi_host": {"distribution_version": "13"}},
                "redis6": {"__fastapi_host": {"distribution_version": "12"}},
            },
            "redis6 runs Debian 12, whose Redis cannot be a replica of the newer one of redis5; use the same Debian",
        ),
    ],
)
def test_a_group_that_could_not_work_is_refused(changed, sentence):
    (found,) = group_problems(**changed)
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "redis_sentinel_password is missing, with which the Redis of redis5, redis6, redis7 authenticate to each"),
        ("short", "redis_sentinel_password is too short, with which the Redis of redis5, redis6, redis7 authenticate"),
        ("a-long-password-of-theirs", "redis_sentinel_password is the same as redis_password, which the apps know"),
    ],
)
def test_the_password_of_a_group_is_long_and_its_own(password, sentence):
    (found,) = group_problems(**{name: {"redis_sentinel_password": password} for name in GROUP})
    assert found.startswith(sentence)
    assert "short" in sentence or "short" not in found


def test_hosts_outside_of_the_group_are_not_asked_about_it():
    assert group_problems("redis7", redis7={"redis_bind": ""}) == []
    assert group_problems("redis5", redis6={"redis_bind": ""}, redis7={"redis_bind": ""}) == []


OWN = {"app_name": "shop", "app_redis_keys": "shop:*", "app_redis_password": "a/long password"}


def test_an_app_with_keys_of_its_own_has_its_user_in_the_url():
    assert derive({**APP, **OWN}, web1=APP) == "unix://app-shop:a%2Flong%20password@/run/redis/redis-server.sock"
    assert derive({**APP, **OWN}, redis1=REDIS) == "redis://app-shop:a%2Flong%20password@10.0.0.5:6379/0"
    group = {f"redis{n}": {"ansible_host": f"10.0.1.{n}", "redis_bind": f"10.0.1.{n}:6379"} for n in (1, 2, 3)}
    assert derive({**APP, **OWN}, **group).startswith("redis+sentinel://app-shop:a%2Flong%20password@10.0.1.1:26379,")
