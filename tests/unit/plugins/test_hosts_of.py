"""Which hosts a play is for."""

from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import hosts_of


def test_a_group_that_the_inventory_has_not_is_empty():
    groups = {"all": ["lb1", "app1", "app2"], "app_servers": ["app1", "app2"]}
    assert hosts_of(groups, "app_servers") == ["app1", "app2"]
    assert hosts_of(groups, "redis_servers") == []


def test_a_host_of_several_groups_is_there_once():
    groups = {"app_servers": ["one", "two"], "load_balancers": ["one", "three"]}
    assert hosts_of(groups, "load_balancers", "app_servers", "redis_servers") == ["one", "three", "two"]
