"""Whether ufw lets others reach our ports: rules as ufw 0.36 has written them for the commands beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.modules.readiness import ufw
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.firewall import firewall_problems, is_open

NGINX = [("*", "80"), ("*", "443")]
SSH = "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in"


def active(*rules: str, policy: str = "DROP") -> dict[str, Any]:
    return {"input": policy, "rules": [SSH, *rules]}


def test_ports_that_clients_need_are_one_sentence() -> None:
    assert list(firewall_problems(active(), NGINX, True)) == [
        "ufw is active and does not allow ports 80 and 443: `ufw allow 80,443/tcp`."
    ]
    half = active("allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in")
    assert list(firewall_problems(half, NGINX, True)) == [
        "ufw is active and does not allow port 443: `ufw allow 443/tcp`."
    ]


def test_ports_that_other_hosts_need_are_opened_for_them_alone() -> None:
    wanted = [("10.0.0.5", "8000"), ("127.0.0.1", "6379"), ("::1", "6380"), ("internal", "26379")]
    assert list(firewall_problems(active(), wanted, False)) == [
        "ufw is active and does not allow ports 8000 and 26379, which other hosts of the inventory need: for each of "
        "them `ufw allow proto tcp from ADDRESS to any port 8000,26379`."
    ]
    assert list(firewall_problems(active(), wanted, True)) == []


def test_without_ufw_nothing_is_closed() -> None:
    assert list(firewall_problems({}, NGINX, True)) == []


@pytest.mark.parametrize(
    ("rule", "opened"),
    [
        ("allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in", True),  # ufw allow "Nginx Full"
        ("allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", True),  # ufw allow 443/tcp
        ("allow any 443 0.0.0.0/0 any 0.0.0.0/0 in", True),  # ufw allow 443
        ("limit tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", True),  # ufw limit 443/tcp
        ("allow_log tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", True),  # ufw allow log 443/tcp
        ("allow any any 0.0.0.0/0 any 0.0.0.0/0 in", True),  # ufw allow from any
        ("allow tcp 443 0.0.0.0/0 any 10.0.0.0/24 in", True),  # ufw allow from 10.0.0.0/24 to any port 443 proto tcp
        ("allow tcp 440:450 0.0.0.0/0 any 0.0.0.0/0 in_eth0 comment=736f6d65", True),  # ... in on eth0 ... comment
        ("allow tcp 442 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("allow tcp 400:442 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("allow udp 443 0.0.0.0/0 any 0.0.0.0/0 in", False),  # ufw allow 443/udp
        ("allow tcp any 0.0.0.0/0 443 0.0.0.0/0 in", False),  # ufw allow proto tcp from any port 443
        ("route:allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", False),  # ufw route allow proto tcp to any port 443
        ("deny tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("", False),
    ],
)
def test_a_rule_opens_a_port_or_does_not(rule: str, opened: bool) -> None:
    assert is_open(active(*filter(None, [rule])), "443") is opened


@pytest.mark.parametrize(
    ("rule", "opened"),
    [
        ("deny tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("reject_log tcp 443 0.0.0.0/0 any 0.0.0.0/0 in", False),
        ("deny tcp 443 0.0.0.0/0 any 192.0.2.0/24 in", True),  # some cannot, others can
        ("deny tcp 443 0.0.0.0/0 any 0.0.0.0/0 in_eth1", True),
    ],
)
def test_the_first_rule_for_everybody_decides(rule: str, opened: bool) -> None:
    allow = "allow tcp 443 0.0.0.0/0 any 0.0.0.0/0 in"
    assert is_open(active(rule, allow), "443") is opened
    assert is_open(active(allow, rule), "443") is True
    assert is_open(active(rule, policy="ACCEPT"), "443") is opened
    assert is_open(active(rule), "443") is False


def host(root: Path, *, enabled: str = "ENABLED=yes", program: bool = True) -> Path:
    for name, text in {
        "etc/ufw/ufw.conf": f"# comment\n\n{enabled}\nLOGLEVEL=low\n",
        "etc/default/ufw": 'IPV6=yes\nDEFAULT_INPUT_POLICY="REJECT"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\n',
        "etc/ufw/user.rules": f"*filter\n### RULES ###\n\n### tuple ### {SSH}\n-A ufw-user-input -p tcp\n",
        **({"usr/sbin/ufw": ""} if program else {}),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_what_is_read_of_ufw(tmp_path: Path) -> None:
    assert ufw(host(tmp_path)) == {"input": "REJECT", "rules": [SSH]}


@pytest.mark.parametrize("changes", [{"enabled": "ENABLED=no"}, {"enabled": ""}, {"program": False}])
def test_ufw_that_is_switched_off_or_was_removed_closes_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert ufw(host(tmp_path, **changes)) == {}


def test_a_host_without_ufw(tmp_path: Path) -> None:
    assert ufw(tmp_path) == {}
