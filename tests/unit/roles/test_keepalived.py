"""What the role keepalived makes of an inventory, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import checked, role_variables

Render = Callable[..., str]
ADDRESS = "10.0.0.100"
HOST = {
    "distribution": "debian",
    "distribution_version": "13",
    "packages": {},
    "addresses": {"127.0.0.1/8": "lo", "10.0.0.10/24": "eth0", "192.0.2.10/25": "eth1", f"{ADDRESS}/32": "eth0"},
}


def variables_of(*, address: Any = ADDRESS, **changes: Any) -> dict[str, Any]:
    """What the first of two load balancers sees; `changes` are variables of `lb1`, `lb2` and `app1`, or others."""
    hosts: dict[str, dict[str, Any]] = {
        "lb1": {"ansible_host": "10.0.0.10", "keepalived_address": address},
        "lb2": {"ansible_host": "198.51.100.7", "private_address": "10.0.0.11", "keepalived_address": address},
        "app1": {"ansible_host": "10.0.0.21"},
    }
    for name in hosts:
        hosts[name] |= changes.pop(name, {})
    return {
        **role_variables("keepalived"),
        "__fastapi_host": HOST,
        "groups": {"all": list(hosts), "load_balancers": ["lb1", "lb2"], "app_servers": ["app1"]},
        "hostvars": hosts,
        "inventory_hostname": "lb1",
        **hosts["lb1"],
        **changes,
    }


def problems(**changes: Any) -> list[str]:
    return checked("keepalived", variables_of(**changes))[1]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"address": ""},
        {"address": "192.0.2.100"},
        {"lb1": {"private_address": "192.0.2.10"}},
        {"keepalived_preempt_delay": 1000},
    ],
)
def test_good_values(changes: dict[str, Any]) -> None:
    assert problems(**changes) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"address": "10.0.0.100/24"}, 'keepalived_address is "10.0.0.100/24"; write an IPv4 address without prefix'),
        ({"address": "2001:db8::1"}, 'keepalived_address is "2001:db8::1"; write an IPv4 address'),
        ({"address": "www.example.com"}, 'keepalived_address is "www.example.com"; write an IPv4 address'),
        (
            {"address": "10.0.1.100"},
            "keepalived_address is 10.0.1.100, which is in the network of no interface of lb1 (it has 10.0.0.10/24 "
            "on eth0, 192.0.2.10/25 on eth1, 10.0.0.100/32 on eth0); write a free",
        ),
        ({"address": "10.0.0.21"}, "keepalived_address is 10.0.0.21, which app1 has for itself; write an address that"),
        ({"address": "10.0.0.255"}, "keepalived_address is 10.0.0.255, which no host of 10.0.0.0/24 can have; write a"),
        (
            {"lb2": {"keepalived_address": ""}},
            "keepalived_address is 10.0.0.100 on lb1 alone; write it in the variables of the group load_balancers,",
        ),
        # Two names of one machine.
        ({"lb2": {"ansible_host": "10.0.0.10"}}, "keepalived_address is 10.0.0.100 on lb1 alone; write it in the"),
        (
            {"groups": {"all": [], "app_servers": ["lb1"]}},
            "keepalived_address is 10.0.0.100, but lb1 is not a member of the group load_balancers that has it",
        ),
        (
            {"lb2": {"keepalived_router_id": 52}},
            "keepalived_router_id is 51 on lb1 and 52 on lb2, which share 10.0.0.100; write it in the variables of the",
        ),
        (
            {"lb2": {"private_address": "lb2.internal"}},
            "lb2 is reached by lb2.internal, which is not an IPv4 address; set private_address of lb2 to the one by",
        ),
        ({"lb1": {"private_address": "10.0.0.12"}}, "lb1 has no address 10.0.0.12; set private_address of lb1 to the"),
        ({"keepalived_preempt_delay": 1001}, 'keepalived_preempt_delay is "1001"; write whole seconds from 0 to 1000.'),
        ({"address": "", "keepalived_router_id": 256}, 'keepalived_router_id is "256"; write a whole number from 1 to'),
        ({"__fastapi_host": {**HOST, "has_apt": False}}, "The host runs debian 13, which has no apt; use Debian 12"),
    ],
)
def test_bad_values(changes: dict[str, Any], sentence: str) -> None:
    (found,) = problems(**changes)
    assert found.startswith(sentence)


def test_two_virtual_addresses_do_not_share_a_router() -> None:
    hosts = variables_of()["hostvars"]
    hosts |= {f"lb{n}": {"ansible_host": f"10.0.0.3{n}", "keepalived_address": "10.0.0.101"} for n in (3, 4)}
    groups = {"all": list(hosts), "load_balancers": ["lb1", "lb2", "lb3", "lb4"]}
    found = problems(hostvars=hosts, groups=groups)
    assert found[0].startswith("keepalived_router_id is 51 for 10.0.0.100 and for 10.0.0.101 of lb3; write another")
    hosts["lb3"]["keepalived_router_id"] = hosts["lb4"]["keepalived_router_id"] = 52
    assert problems(hostvars=hosts, groups=groups) == []


def test_the_load_balancers_find_each_other_in_the_inventory(render: Render) -> None:
    text = render("keepalived", "keepalived.conf.j2", variables_of(address="192.0.2.100"))
    assert "    interface eth0\n" in text
    assert "    unicast_src_ip 10.0.0.10\n" in text
    assert "        10.0.0.11 min_ttl 255\n" in text
    assert "        192.0.2.100/32 dev eth1\n" in text
    # An interface of its own is watched too.
    assert "    track_interface {\n        eth1\n" in text
    assert "    priority 200\n" in text
    assert "nopreempt" in text


def test_who_comes_later_in_the_inventory_comes_later(render: Render) -> None:
    host = {**HOST, "addresses": {"10.0.0.11/24": "ens3"}}
    changes = {"inventory_hostname": "lb2", "__fastapi_host": host, "keepalived_preempt_delay": 60}
    text = render("keepalived", "keepalived.conf.j2", variables_of(**changes))
    assert "    priority 199\n" in text
    assert "    preempt_delay 60\n" in text
    assert "nopreempt" not in text
    assert "track_interface" not in text
    assert "        10.0.0.10 min_ttl 255\n" in text


def test_nobody_else_is_heard(render: Render) -> None:
    text = render("keepalived", "keepalived.service.d.conf.j2", variables_of())
    assert "IPAddressDeny=any\nIPAddressAllow=localhost 10.0.0.10 10.0.0.11\n" in text


def test_it_can_do_what_a_virtual_address_takes_and_little_else(render: Render) -> None:
    lines = render("keepalived", "keepalived.service.d.conf.j2", variables_of()).splitlines()
    assert "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SETUID CAP_SETGID CAP_KILL" in lines
    assert "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET" in lines
    assert {"ProtectSystem=strict", "NoNewPrivileges=yes", "PrivateTmp=yes", "ProtectHome=yes"} < set(lines)
