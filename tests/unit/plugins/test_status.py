"""The report of `status`: what is a problem, what is worth knowing, and how both are shown."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.status import (
    duration,
    report_of,
    status_members,
    status_report,
    table_of,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.status_page import page_of

APP: dict[str, Any] = {
    "release": "0123456789ab-11111111",
    "previous": "",
    "since": "2026-03-01T09:30:00+00:00",
    "by": "anna@laptop",
    "state": "active",
    "workers": 3,
    "restarts": 0,
}
ANSWER = {"status": 200, "release": APP["release"], "milliseconds": 1.5, "error": ""}
CERTIFICATE = {
    "error": "",
    "days": 90.0,
    "days_left": 60.0,
    "issuer": "R11",
    "self_signed": False,
    "names": ["a.example"],
}
STATE: dict[str, Any] = {
    "at": "2026-03-01T10:00:00.000+00:00",
    "behind": -0.4,
    "uptime": 200_000.0,
    "load": 0.1,
    "cpus": 2,
    "memory": {"total_mb": 4000, "available_mb": 3000},
    "disks": [{"path": "/", "free_mb": 9000, "used_percent": 40}],
    "reboot_required": False,
    "failed_units": [],
    "touched": [],
    "apps": {},
    "services": {"nginx": "active", "redis-server": "active", "keepalived": "absent"},
    "virtual": {},
    "certificates": {},
    "sites": {},
}
MEMBERS = ("10.0.0.11:8000", "10.0.0.12:8000")


@pytest.fixture
def inventory() -> dict[str, Any]:
    """A load balancer, two app servers and a Redis, all well; tests change what the servers tell."""
    balancer = deepcopy(STATE) | {
        "sites": {"shop": {address: dict(ANSWER) for address in MEMBERS}},
        "certificates": {"shop": dict(CERTIFICATE)},
    }
    return {
        "lb1": {"ansible_host": "203.0.113.1", "told": balancer},
        **{
            f"app{number}": {
                "ansible_host": f"10.0.0.1{number}",
                "app_name": "shop",
                "gunicorn_bind": f"10.0.0.1{number}:8000",
                "told": deepcopy(STATE) | {"apps": {"shop": dict(APP)}},
            }
            for number in (1, 2)
        },
        "redis1": {"told": deepcopy(STATE)},
    }


GROUPS = {"load_balancers": ["lb1"], "app_servers": ["app1", "app2"], "redis_servers": ["redis1"]}


def report(inventory: dict[str, Any]) -> dict[str, Any]:
    return status_report(GROUPS, inventory, "told")


def test_all_is_well(inventory):
    made = report(inventory)
    assert (made["ok"], made["problems"], made["notes"]) == (True, [], [])
    assert made["ways"] == [{"balancer": "lb1", "member": name, "good": True} for name in ("app1", "app2")]
    lines = table_of(made)
    assert lines[1].split() == [
        "lb1",
        "load_balancer",
        "2",
        "of",
        "2",
        "up",
        "60",
        "days",
        "40",
        "%",
        *["3000", "MiB", "free", "2", "days"],
    ]
    assert "shop  0123456789ab-11111111  2026-03-01 09:30  3" in lines[2]
    assert lines[-1] == "4 servers, no problem"


def change(told: dict[str, Any], path: str, value: Any) -> None:
    *folders, last = path.split("/")
    for folder in folders:
        told = told[folder]
    told[last] = value


@pytest.mark.parametrize(
    ("host", "path", "value", "sentence"),
    [
        (
            "app1",
            "disks",
            [{"path": "/srv", "free_mb": 12, "used_percent": 90}],
            "app1: /srv is 90 % full, 12 MiB are free.",
        ),
        ("app1", "memory/available_mb", 199, "app1 has 199 MiB of memory left of 4000."),
        ("app1", "behind", 61.2, "The clock of app1 is 61 s behind this machine's; see `timedatectl`."),
        ("app1", "behind", -61.2, "The clock of app1 is 61 s ahead of this machine's; see `timedatectl`."),
        ("app1", "failed_units", ["x.service"], "app1: x.service has failed; `journalctl -u x.service` says why."),
        ("app1", "apps/shop/state", "failed", "app1: shop does not run (its unit is failed, 3 workers)."),
        ("app1", "apps/shop/workers", 0, "app1: shop does not run (its unit is active, 0 workers)."),
        ("lb1", "services/nginx", "failed", "lb1: nginx does not run (failed)."),
        ("redis1", "services/redis-server", "inactive", "redis1: redis-server does not run (inactive)."),
        ("lb1", "certificates/shop/days_left", 17.9, "lb1: the certificate of shop ends in 17.9 days."),
        ("lb1", "certificates/shop/error", "no such file", "lb1: the certificate of shop cannot be read: no such file"),
        (
            "lb1",
            "sites/shop/10.0.0.12:8000/error",
            "timed out",
            "lb1 gets no answer from 10.0.0.12:8000 for shop: timed out",
        ),
        ("lb1", "sites/shop/10.0.0.12:8000/status", 503, "lb1 gets 503 from 10.0.0.12:8000 for shop."),
    ],
)
def test_a_problem_is_one_sentence(inventory, host, path, value, sentence):
    change(inventory[host]["told"], path, value)
    made = report(inventory)
    assert made["problems"] == [sentence]
    assert not made["ok"]
    assert table_of(made)[-4:] == ["Problems:", f"  {sentence}", "", "4 servers, 1 problem"]


@pytest.mark.parametrize(
    ("path", "value"), [("behind", 1.9), ("behind", -19), ("memory/available_mb", 200), ("apps/shop/restarts", 0)]
)
def test_what_is_no_problem_yet(inventory, path, value):
    change(inventory["app1"]["told"], path, value)
    assert report(inventory)["ok"]


@pytest.mark.parametrize(
    ("how", "problems", "notes"),
    [
        ({"state": "active", "restarts": 0, "up": 1.0}, [], []),
        (
            {"state": "active", "restarts": 18, "up": 3.0},
            [
                "app1: process mailer-2 of shop does not stay up: systemd has started it again 18 times;"
                " `logs -e process=mailer` says why."
            ],
            [],
        ),
        (
            {"state": "failed", "restarts": 0, "up": 3.0},
            ["app1: process mailer-2 of shop does not run (its unit is failed); `logs -e process=mailer` says why."],
            [],
        ),
        (
            {"state": "active", "restarts": 1, "up": 601.0},
            [],
            ["app1: systemd has started process mailer-2 of shop again 1 times."],
        ),
    ],
)
def test_a_process_that_does_not_stay_up_is_a_problem_and_one_that_did_once_a_note(inventory, how, problems, notes):
    change(inventory["app1"]["told"], "apps/shop/processes", {"mailer-2": how})
    made = report(inventory)
    assert (made["problems"], made["notes"]) == (problems, notes)


@pytest.mark.parametrize(("days", "left", "ok"), [(6, 1.3, True), (6, 1.1, False), (90, 18, True), (365, 72, False)])
def test_a_certificate_is_judged_by_its_own_life(inventory, days, left, ok):
    inventory["lb1"]["told"]["certificates"]["shop"] |= {"days": days, "days_left": left}
    assert report(inventory)["ok"] is ok


@pytest.mark.parametrize(
    ("host", "path", "value", "note"),
    [
        ("app1", "reboot_required", True, "app1 waits for a restart after an upgrade."),
        (
            "lb1",
            "touched",
            ["/etc/nginx/nginx.conf"],
            "lb1: /etc/nginx/nginx.conf was changed since the run that wrote it",
        ),
        ("app1", "apps/shop/restarts", 2, "app1: systemd has started shop again 2 times"),
        ("app1", "apps/shop/outdated", ["/etc/shop/environment"], "app1: /etc/shop/environment changed after shop was"),
        (
            "app1",
            "apps/shop/configured_by",
            "two",
            "app1: the configuration of shop is that of the deploy of two, which f",
        ),
        ("app1", "apps/shop/interrupted", True, "app1: the deploy of 0123456789ab-11111111 of shop has not ended"),
        ("lb1", "certificates/shop/self_signed", True, "lb1: the certificate of shop is self-signed"),
    ],
)
def test_a_note_is_no_problem(inventory, host, path, value, note):
    change(inventory[host]["told"], path, value)
    made = report(inventory)
    assert made["ok"]
    assert len(made["notes"]) == 1
    assert made["notes"][0].startswith(note)


def test_servers_with_different_sources_are_named_and_different_pythons_are_not(inventory):
    change(inventory["app2"]["told"], "apps/shop/release", "0123456789ab-22222222")
    assert report(inventory)["ok"]
    change(inventory["app2"]["told"], "apps/shop/release", "ffffffffffff-22222222")
    assert report(inventory)["problems"] == [
        "shop has several releases: 0123456789ab on app1, ffffffffffff on app2; "
        "deploy or roll back, so that all have one."
    ]


def test_a_server_that_cannot_be_asked(inventory):
    inventory["app2"]["told"] = {"unreachable": True, "msg": "Task failed: \nConnection refused"}
    made = report(inventory)
    assert made["problems"] == ["app2 cannot be asked: Connection refused"]
    assert any(line.split()[:4] == ["app2", "app_server", "cannot", "be"] for line in table_of(made))
    assert "cannot be asked" in page_of(made, "today")


def test_servers_outside_of_this_run_are_left_out(inventory):
    del inventory["app2"]["told"]
    assert [server["name"] for server in report(inventory)["servers"]] == ["lb1", "app1", "redis1"]


def test_one_server_in_all_groups():
    told = deepcopy(STATE) | {
        "apps": {"shop": dict(APP)},
        "sites": {"shop": {"unix:/run/shop/http.sock": dict(ANSWER)}},
    }
    made = status_report({group: ["web1"] for group in GROUPS}, {"web1": {"app_name": "shop", "told": told}}, "told")
    assert made["ways"] == [{"balancer": "web1", "member": "web1", "good": True}]
    assert len(made["servers"]) == 1
    assert page_of(made, "today").count("<rect") == 3


def test_complete_servers_beside_each_other_serve_themselves():
    told = deepcopy(STATE) | {
        "sites": {"shop": {"unix:/run/shop/http.sock": dict(ANSWER)}},
        "apps": {"shop": dict(APP)},
    }
    hostvars = {name: {"app_name": "shop", "ansible_host": name, "told": told} for name in ("web1", "web2")}
    made = status_report({group: ["web1", "web2"] for group in GROUPS}, hostvars, "told")
    assert made["ways"] == [{"balancer": name, "member": name, "good": True} for name in ("web1", "web2")]


def test_the_page_draws_every_server_and_way_and_shows_what_is_wrong(inventory):
    change(inventory["lb1"]["told"], "sites/shop/10.0.0.12:8000/error", "<timed out>")
    page = page_of(report(inventory), "2026-03-01 10:00 UTC")
    assert page.count("<rect") == 4
    assert page.count('class="way"') == page.count('class="way bad"') == 1
    assert "&lt;timed out&gt;" in page
    assert "<timed" not in page
    assert "<script" not in page


def test_members_are_addresses_whatever_else_is_said_of_them():
    servers = ["unix:/run/shop/http.sock", {"address": "10.0.0.5:8000", "weight": 3}]
    assert status_members([{"name": "shop", "servers": servers}]) == {
        "shop": ["unix:/run/shop/http.sock", "10.0.0.5:8000"]
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(59, "59 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 days")]
)
def test_a_duration_is_told_in_its_largest_unit(seconds, text):
    assert duration(seconds) == text


def shared(inventory: dict[str, Any], *held: bool) -> dict[str, Any]:
    """The report of load balancers that share an address, of which some hold it."""
    for number, one in enumerate(held, 1):
        told = deepcopy(STATE) | {"virtual": {"10.0.0.100": one}}
        told["services"] = {**STATE["services"], "keepalived": "active"}
        inventory[f"lb{number}"] = {"told": told}
    return status_report({"load_balancers": [f"lb{number}" for number in range(1, len(held) + 1)]}, inventory, "told")


def test_one_load_balancer_holds_the_virtual_address(inventory):
    made = shared(inventory, False, True)
    assert (made["problems"], made["notes"]) == ([], ["lb2 holds the virtual address 10.0.0.100."])


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ((False, False), "No load balancer holds the virtual address 10.0.0.100; `journalctl -u keepalived` says why."),
        ((True, True), "lb1 and lb2 hold the virtual address 10.0.0.100; `journalctl -u keepalived` says why."),
    ],
)
def test_the_virtual_address_is_on_one_load_balancer(inventory, held, sentence):
    made = shared(inventory, *held)
    assert (made["problems"], made["notes"]) == ([sentence], [])


def test_who_shares_a_virtual_address_runs_keepalived(inventory):
    shared(inventory, True, False)
    inventory["lb2"]["told"]["services"]["keepalived"] = "failed"
    made = status_report({"load_balancers": ["lb1", "lb2"]}, inventory, "told")
    assert made["problems"] == ["lb2: keepalived does not run (failed)."]


def test_what_a_removed_app_has_left_is_a_note():
    report = report_of(
        [{"name": "web", "groups": [], "state": {**deepcopy(STATE), "left": {"blog": "2026-03-01T10:00"}}}]
    )
    assert report["notes"][-1] == (
        "web: /srv/blog/shared is what blog has left, which was removed on 2026-03-01; "
        "`remove -e app=blog -e data=true` takes it away."
    )


def test_an_app_that_the_inventory_does_not_have_is_a_note_and_no_problem():
    state = {**deepcopy(STATE), "installed": {"old": "", "shop": ""}}
    hosts = {"web": {"app_name": "shop", "state": state}}
    report = status_report({"app_servers": ["web"]}, hosts, "state")
    assert report["notes"][-1].startswith("web still has the app old, which is not in the inventory")
    assert not any("app shop" in note for note in report["notes"])


def test_files_that_the_rate_limit_has_rejected_are_a_note() -> None:
    state = {**deepcopy(STATE), "rejected": {"/favicon.ico": {"count": 1, "path": "/favicon.ico"}}}
    report = report_of([{"name": "lb1", "groups": [], "state": state}])
    assert report["notes"] == [
        "lb1: Nginx's rate limit rejected files of pages once in the last hour, such as /favicon.ico; "
        "nginx_rate_limit_exempt: [/healthz, /readyz, /favicon.ico] exempts them."
    ]
    assert report["ok"]
