"""What is in the way of a first run on a host, a sentence each with what to do."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.modules.readiness import source_errors, unfinished_packages
from ansible_collections.production.fastapi.plugins.plugin_utils import app, nginx
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.readiness import (
    PACKAGES,
    behind,
    is_set_up,
    listeners,
    ports_of,
    problems,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.readiness import in_the_way, refusal

LISTENING = """\
LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=61,fd=3))
LISTEN 0      511        127.0.0.1:631       0.0.0.0:*    users:(("cupsd",pid=70,fd=7))
LISTEN 0      511             [::]:80           [::]:*    users:(("nginx",pid=900,fd=6),("nginx",pid=901,fd=6))
LISTEN 0      4096      10.0.0.5:8000        0.0.0.0:*    users:(("python",pid=9,fd=5),("systemd",pid=1,fd=40))
LISTEN 0      4096    127.0.0.53%lo:53       0.0.0.0:*    users:(("systemd-resolve",pid=5,fd=4))
"""
GROUPS = {"load_balancers": ["web1"], "app_servers": ["web1"], "redis_servers": ["web1"]}
FACTS = {"packages": {}, "disk_free_mb": {"/": 5000, "/var": 5000, "/srv": 5000}, "memory_available_mb": 900}
SEEN = {"listening": LISTENING, "behind": 0.0, "interrupted": False, "unfinished": [], "sources": {}, "ufw": {}}
HOSTVARS: dict[str, Any] = {"web1": {"gunicorn_bind": "10.0.0.5:8000", "redis_bind": ""}}


def found(facts: dict[str, Any] | None = None, **seen: Any) -> list[str]:
    return list(problems(SEEN | seen, FACTS | (facts or {}), "web1", GROUPS, HOSTVARS))


def line(address: str, program: str) -> str:
    return f'LISTEN 0 511 {address} 0.0.0.0:* users:(("{program}",pid=9,fd=4))'


def test_a_host_that_is_ready() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (
            {"listening": line("*:80", "apache2")},
            "port 80 is taken by apache2: stop it and keep it from starting (`systemctl disable --now apache2`), or "
            "use another host.",
        ),
        ({"listening": line("[::]:80", "lighttpd")}, "port 80 is taken by lighttpd: stop it and keep it from starting"),
        ({"listening": line("203.0.113.5:443", "haproxy")}, "port 443 is taken by haproxy: stop it and keep it from"),
        # A wildcard address is not to be had beside any other.
        (
            {"listening": line("127.0.0.1:443", "java")},
            "port 443 is taken by java: stop it and keep it from starting, or",
        ),
        ({"listening": line("0.0.0.0:8000", "python3")}, "port 8000 is taken by python3: stop it"),
        (
            {"listening": line("*:80", "systemd")},
            "port 80 is taken by systemd: stop the socket that `systemctl list-sockets` shows for it (`systemctl "
            "disable --now NAME.socket`), or use another host.",
        ),
        ({"ufw": {"input": "DROP", "rules": []}}, "ufw is active and does not allow ports 80 and 443: `ufw allow"),
        ({"behind": 100.2}, "its clock is 100 s behind this machine's, and certificates depend on it: `apt-get"),
        ({"behind": -6.0}, "its clock is 6 s ahead of this machine's"),
        ({"interrupted": True}, "dpkg was interrupted, so apt installs nothing: `dpkg --configure -a`, then"),
        ({"interrupted": True, "unfinished": ["a", "b"]}, "dpkg was interrupted (a, b), so apt installs nothing"),
        (
            {"sources": {"http://old.example.com/debian": "404 Not Found"}},
            "apt cannot read its source http://old.example.com/debian (404 Not Found): repair the source, or remove it",
        ),
    ],
    ids=str,
)
def test_what_is_in_the_way_is_one_sentence(seen: dict[str, Any], sentence: str) -> None:
    (problem,) = found(**seen)
    assert problem.startswith(sentence)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            {"disk_free_mb": {"/": 5000, "/var": 499, "/srv": 5000}},
            "/var has 499 MiB of free space, and a first run needs",
        ),
        ({"disk_free_mb": {"/": 5000, "/var": 500, "/srv": 999}}, "/srv has 999 MiB of free space"),
        ({"memory_available_mb": 100}, "100 MiB of memory are available, and an app needs 256"),
    ],
    ids=str,
)
def test_a_host_that_is_too_small(facts: dict[str, Any], sentence: str) -> None:
    (problem,) = found(facts)
    assert problem.startswith(sentence)


@pytest.mark.parametrize(
    "listening",
    [
        "",
        line("10.0.0.6:8000", "python3"),
        line("127.0.0.1:8000", "python3"),
        line("*:80", "nginx"),
        line("*:8080", "x"),
    ],
)
def test_others_may_listen_elsewhere(listening: str) -> None:
    assert found(listening=listening) == []


def test_ufw_has_to_let_other_hosts_in() -> None:
    closed = SEEN | {"ufw": {"input": "DROP", "rules": ["allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in"]}}
    assert list(problems(closed, FACTS, "web1", GROUPS, HOSTVARS)) == []
    (sentence,) = problems(closed, FACTS, "web1", GROUPS | {"load_balancers": ["web1", "web2"]}, HOSTVARS)
    assert sentence.startswith("ufw is active and does not allow port 8000, which other hosts")


def test_apt_is_not_needed_where_everything_is_installed() -> None:
    packages = {name: "1" for names in PACKAGES.values() for name in names}
    assert found({"packages": packages}, interrupted=True, sources={"x": "y"}) == []
    packages.pop("logrotate")
    assert len(found({"packages": packages}, interrupted=True, sources={"x": "y"})) == 2


def test_the_roles_install_these_packages() -> None:
    sites = {"nginx_sites": [], "nginx_certificate": "self-signed", "nginx_exporter": False}
    assert tuple(nginx.packages(sites)) == PACKAGES["load_balancers"]
    assert tuple(app.packages({"app_source": {}, "app_packages": [], "app_build": []})) == PACKAGES["app_servers"]


def test_listeners_have_the_programs_that_share_them() -> None:
    assert [tuple(each) for each in listeners(LISTENING)] == [
        ("*", "22", ("sshd",)),
        ("127.0.0.1", "631", ("cupsd",)),
        ("*", "80", ("nginx",)),
        ("10.0.0.5", "8000", ("python", "systemd")),
        ("127.0.0.53", "53", ("systemd-resolve",)),
    ]


def test_a_member_of_a_redis_group_needs_the_port_of_sentinel() -> None:
    hostvars = {f"redis{n}": {"redis_bind": f"10.0.0.{n}:6379"} for n in (1, 2, 3)}
    wanted = [(each.address, each.port) for each in ports_of("redis2", {"redis_servers": list(hostvars)}, hostvars)]
    assert wanted == [("10.0.0.2", "6379"), ("*", "26379")]
    alone = ports_of("redis2", {"redis_servers": ["redis2"]}, hostvars)
    assert [each.port for each in alone] == ["6379"]


def test_a_socket_is_no_port() -> None:
    assert ports_of("web1", {"app_servers": ["web1"]}, {"web1": {"gunicorn_bind": "unix:/run/shop/8000"}}) == []
    (wanted,) = ports_of("web1", {"app_servers": ["web1"]}, {"web1": {"gunicorn_bind": "[2001:db8::5]:8000"}})
    assert wanted[:2] == ("2001:db8::5", "8000")


@pytest.mark.parametrize(("clock", "seconds"), [(100.0, 0.0), (101.0, 0.0), (90.0, 10.0), (99.5, 0.5), (110.0, -9.0)])
def test_a_clock_is_compared_with_the_time_that_asking_takes(clock: float, seconds: float) -> None:
    assert behind(clock, 100.0, 101.0) == seconds


@pytest.mark.parametrize(
    ("managed", "expected"),
    [
        ({}, False),
        ({"nginx": [], "redis": []}, False),
        ({"nginx": [], "redis": [], "gunicorn-other": []}, False),
        ({"nginx": [], "redis": [], "gunicorn-shop": []}, True),
    ],
    ids=str,
)
def test_a_host_is_set_up_when_all_roles_have_ended_there(managed: dict[str, Any], expected: bool) -> None:
    assert is_set_up({"managed": managed}, "web1", GROUPS, "shop") is expected
    assert is_set_up({"managed": {"nginx": []}}, "web1", {"load_balancers": ["web1"]}, "shop") is True


def test_what_apt_says_of_its_sources() -> None:
    output = """\
Err:7 http://old.example.com/debian trixie InRelease
E: Failed to fetch http://old.example.com/debian/dists/trixie/InRelease  Could not connect to old.example.com:80.
E: The repository 'http://gone.example.com trixie Release' does not have a Release file.
E: Some index files failed to download. They have been ignored, or old ones used instead.
"""
    assert source_errors(output) == {
        "http://old.example.com/debian/dists/trixie/InRelease": "Could not connect to old.example.com:80",
        "http://gone.example.com trixie Release": "does not have a Release file",
    }
    assert source_errors("E: Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (URI)\n") == {
        "list": "Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (URI)"
    }
    assert source_errors("") == {"list": "it does not answer in time"}


def test_what_dpkg_has_not_finished() -> None:
    audit = """\
The following packages are only half configured, probably due to problems
configuring them the first time.  The configuration should be retried using
dpkg --configure <package> or the configure menu option in dselect:
 base-files           Debian base system miscellaneous files
 tzdata               time zone and daylight-saving time data

"""
    assert unfinished_packages(audit) == ["base-files", "tzdata"]
    assert unfinished_packages("") == []


# Who is looked at

SET_UP = {"managed": dict.fromkeys(("nginx", "gunicorn-app", "redis"))}
KNOWN = {"inventory_hostname": "web1", "groups": GROUPS, "hostvars": HOSTVARS}


def looked(seen: dict[str, Any]) -> Any:
    """The module's way to the host, which has `seen` this."""
    return lambda _name, **_options: {**SEEN, "now": time.time(), "took": 0.0} | seen


def test_a_new_host_with_something_in_the_way_is_refused() -> None:
    refused = refusal(FACTS, KNOWN, looked({"interrupted": True, "listening": line("*:80", "apache2")}))
    assert refused["failed"]
    assert re.fullmatch(r"web1: port 80 is taken .* web1: dpkg was interrupted, .*", refused["msg"])


def test_a_new_host_with_nothing_in_the_way_is_not() -> None:
    assert refusal(FACTS, KNOWN, looked({})) == {}


def test_a_host_that_cannot_be_looked_at_says_so() -> None:
    assert refusal(FACTS, KNOWN, looked({"failed": True, "msg": "no"}))["msg"] == "no"


def test_a_host_that_is_set_up_is_not_asked() -> None:
    assert refusal(FACTS | SET_UP, KNOWN, None) == {}  # type: ignore[arg-type]  # nobody to ask


def test_doctor_is_told_of_a_host_that_is_set_up_too() -> None:
    (problem,) = in_the_way(FACTS | SET_UP, KNOWN, looked({"now": time.time() - 60}))["problems"]
    assert problem.startswith("its clock is 60 s behind")
