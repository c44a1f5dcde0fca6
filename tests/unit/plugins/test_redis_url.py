"""Where an app finds its Redis, derived from inventories that are plain dictionaries here."""

from urllib.parse import unquote, urlsplit

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.filter.redis_url import SOCKET_URL, redis_url

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
