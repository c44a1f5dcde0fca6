"""The figures of a receipt, by data that can be checked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.production.fastapi.plugins.action import receipt as action
from ansible_collections.production.fastapi.plugins.plugin_utils.receipt import make_receipt, milliseconds

BEGAN = 1700000000.0  # 2023-11-14T22:13:20Z


def probe(**changes: Any) -> dict[str, Any]:
    """Ten seconds, a request each, all of 10 ms; the second release answers from the sixth on."""
    return {
        "domain": "shop.example.com",
        "path": "/readyz",
        "rate": 1,
        "complete": True,
        "began": BEGAN,
        "seconds": 10.0,
        "requests": 10,
        "failed": 0,
        "again": 0,
        "kinds": {"200": 10},
        "releases": ["one", "two"],
        "buckets": [[10 * number, 0, [1, 0] if number < 5 else [0, 1], [10.0]] for number in range(10)],
        "failures": [],
        "events": [
            {"name": name, "at": BEGAN + at}
            for name, at in (("build", 0.5), ("gate", 3.5), ("switch", 4.5), ("drain", 5.5), ("verify", 7.5))
        ],
        **changes,
    }


def failing() -> dict[str, Any]:
    """The same, but the sixth request is answered 502 after 0.9 s."""
    buckets = probe()["buckets"]
    buckets[5] = [50, 1, [0, 0, 1], [900.0]]
    failure = {"at": BEGAN + 5, "ms": 900.0, "kind": "502", "release": ""}
    kinds = {"200": 9, "502": 1}
    releases = ["one", "two", ""]
    buckets = [[index, failed, [*counts, 0][:3], times] for index, failed, counts, times in buckets]
    return probe(failed=1, kinds=kinds, failed_kinds={"502": 1}, releases=releases, buckets=buckets, failures=[failure])


def phases(receipt: dict[str, Any]) -> dict[str, tuple[int, int, float]]:
    return {phase["name"]: (phase["requests"], phase["failed"], phase["longest_ms"]) for phase in receipt["phases"]}


def test_a_deploy_that_nobody_noticed() -> None:
    receipt = make_receipt("shop", "two", {"lb1": probe()}, previous="one", by="ada")
    assert receipt["summary"] == (
        "10 requests of the probe for /readyz through Nginx during the deploy: 0 failed; "
        "p99 10 ms before, 10 ms during; longest 10 ms."
    )
    assert phases(receipt) == {
        "before": (5, 0, 10.0),
        "during": (3, 0, 10.0),
        "after": (2, 0, 10.0),
        "all": (10, 0, 10.0),
    }
    assert receipt["events"][2] == {"name": "switch", "host": "", "at": 4.5, "seconds": 1.0}
    assert receipt["releases"] == [
        {"name": "one", "requests": 5, "first": 0.0, "last": 4.0},
        {"name": "two", "requests": 5, "first": 5.0, "last": 9.0},
    ]
    assert (receipt["began"], receipt["seconds"]) == ("2023-11-14T22:13:20Z", 10.0)


def test_a_failure_is_told_by_kind_and_time() -> None:
    receipt = make_receipt("shop", "two", {"lb1": failing()})
    assert receipt["summary"] == (
        "10 requests of the probe for /readyz through Nginx during the deploy: 1 failed (502: 1); "
        "p99 10 ms before, 900 ms during; longest 900 ms."
    )
    assert phases(receipt)["during"] == (3, 1, 900.0)
    assert receipt["failures"] == [
        {"time": "2023-11-14T22:13:25.000Z", "at": 5.0, "host": "lb1", "kind": "502", "ms": 900.0, "release": ""}
    ]


def test_a_request_that_was_open_at_the_switch_counts_as_during() -> None:
    buckets = [[0, 0, [1, 0], [10.0]], [10, 0, [1, 0], [4000.0]]]
    receipt = make_receipt("shop", "two", {"lb1": probe(requests=2, buckets=buckets)})
    assert phases(receipt)["before"] == (1, 0, 10.0)
    assert phases(receipt)["during"] == (1, 0, 4000.0)


def test_several_load_balancers_are_one_deploy() -> None:
    late = probe(began=BEGAN + 1, events=[{"name": "switch", "at": BEGAN + 4.7}])
    receipt = make_receipt("shop", "two", {"lb2": late, "lb1": probe(), "lb3": {}})
    assert (receipt["requests"], receipt["seconds"]) == (20, 11.0)
    assert [event["name"] for event in receipt["events"]] == ["build", "gate", "switch", "drain", "verify"]
    assert receipt["events"][2]["at"] == 4.5
    assert [entry["host"] for entry in receipt["probes"]] == ["lb1", "lb2"]


def test_events_of_the_app_servers_keep_their_host_and_their_end() -> None:
    moves = [
        {"name": "switch", "host": "app1", "at": BEGAN + 2, "until": BEGAN + 3},
        {"name": "switch", "host": "app2", "at": BEGAN + 4, "until": str(BEGAN + 5)},
    ]
    receipt = make_receipt("shop", "two", {"lb1": probe(events=[])}, events=moves)
    assert [(event["host"], event["at"], event["seconds"]) for event in receipt["events"]] == [
        ("app1", 2.0, 1.0),
        ("app2", 4.0, 1.0),
    ]
    assert phases(receipt)["during"][0] == 4


def test_a_deploy_that_ended_before_the_switch() -> None:
    receipt = make_receipt("shop", "two", {"lb1": probe(events=[{"name": "build", "at": BEGAN}])})
    assert receipt["summary"].endswith("0 failed; p99 10 ms; longest 10 ms.")
    assert phases(receipt)["before"][0] == 10


def test_a_long_deploy_has_few_slots() -> None:
    buckets = [[index, 0, [1], [5.0]] for index in range(18000)]
    receipt = make_receipt(
        "shop", "two", {"lb1": probe(seconds=1800.0, requests=18000, buckets=buckets, releases=["one"])}
    )
    assert len(receipt["slots"]) <= 100
    assert sum(slot["requests"] for slot in receipt["slots"]) == 18000


def test_nothing_was_asked() -> None:
    receipt = make_receipt("shop", "two", {"lb1": {}, "lb2": {"requests": 0, "failed": 0, "events": []}})
    assert receipt["summary"] == "The probe sent no request through Nginx during the deploy."


def test_the_same_data_is_the_same_receipt() -> None:
    first, second = (make_receipt("shop", "two", {"a": failing(), "b": probe()}) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0 ms"), (3.44, "3.4 ms"), (41.2, "41 ms"), (999, "999 ms"), (1300, "1.3 s")]
)
def test_times_for_people(value: float, text: str) -> None:
    assert milliseconds(value) == text


# Where it is written


def test_receipts_lie_beside_an_inventory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").touch()
    assert action.target_folder("receipts", str(tmp_path), [str(tmp_path / "hosts.yml")]) == tmp_path / "receipts"


def test_receipts_are_never_read_as_inventory(tmp_path: Path) -> None:
    inventory = tmp_path / "production"
    (inventory / "more").mkdir(parents=True)
    assert action.target_folder("receipts", str(inventory / "more"), [str(inventory)]) == tmp_path / "receipts"
    with pytest.raises(AnsibleActionFail, match="would be read as part of the inventory"):
        action.target_folder(str(inventory / "receipts"), str(inventory), [str(inventory)])


def test_a_name_of_a_file_has_no_path() -> None:
    receipt = make_receipt("shop", "../../etc/passwd", {"lb1": probe()})
    assert action.file_name(receipt) == "shop-20231114T221320Z-.._.._etc_passwd"


class Task:
    def __init__(self, check_mode: bool, options: dict[str, Any]) -> None:
        self.check_mode, self.args, self.async_val = check_mode, options, 0


def run(
    monkeypatch: pytest.MonkeyPatch, inventory: Path, *, check_mode: bool = False, **options: Any
) -> dict[str, Any]:
    plugin = action.ActionModule.__new__(action.ActionModule)
    plugin._task = Task(check_mode, {"app": "shop", "release": "two", "probes": {"lb1": probe()}, **options})
    monkeypatch.setattr(action.ActionBase, "run", lambda *_args: {})
    return plugin.run(
        None, {"inventory_dir": str(inventory), "ansible_inventory_sources": [str(inventory / "hosts.yml")]}
    )


def test_two_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, tmp_path)
    data, page = Path(result["data"]), Path(result["receipt"]["page"])
    assert result["changed"]
    assert data == tmp_path / "receipts" / "shop-20231114T221320Z-two.json"
    assert json.loads(data.read_text())["summary"] == result["receipt"]["summary"]
    assert page.read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in data.parent.iterdir()) == sorted([data.name, page.name])


@pytest.mark.parametrize(
    ("options", "changed"),
    [({"folder": ""}, False), ({"probes": {"lb1": {}}}, False), ({"check_mode": True}, True)],
)
def test_when_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], changed: bool
) -> None:
    assert run(monkeypatch, tmp_path, **options)["changed"] is changed
    assert list(tmp_path.iterdir()) == []


def test_the_drain_of_each_server_is_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drains = {"app1": {"at": BEGAN + 5, "until": BEGAN + 7}, "app2": {}}
    data = Path(run(monkeypatch, tmp_path, drains=drains)["data"])
    told = [event for event in json.loads(data.read_text())["events"] if event["host"]]
    assert told == [{"name": "drain", "host": "app1", "at": 5.0, "seconds": 2.0}]


def test_how_the_canary_did_is_written_down() -> None:
    canary = {"problem": "", "canaries": ["app1"], "canary": {"requests": 120}}
    assert make_receipt("shop", "two", {"lb1": probe()}, canary=canary)["canary"] == canary
    assert make_receipt("shop", "two", {"lb1": probe()})["canary"] == {}


# What was asked


def test_a_path_that_the_app_does_not_have_is_said() -> None:
    receipt = make_receipt("shop", "two", {"lb1": probe(path="/nowhere", kinds={"404": 10})})
    sentence = "The app answered 404 to all of them; write a path that it answers with 200 in app_verify_path."
    assert receipt["summary"].endswith(sentence)
    assert receipt["line"] == f"10 requests of the probe for /nowhere through Nginx, 0 failed. {sentence}"


def test_some_answers_that_are_refusals_are_said() -> None:
    receipt = make_receipt("shop", "two", {"lb1": probe(kinds={"200": 7, "401": 2, "404": 1}, failed_kinds={"404": 1})})
    assert "The app answered 401 to 2 of them;" in receipt["line"]
    assert "The app answered 404" not in receipt["line"], "what was not the app's is a failure"


def test_what_the_rate_limit_of_nginx_refused_is_said_and_not_counted() -> None:
    receipt = make_receipt("shop", "two", {"lb1": probe(limited=1692)})
    assert receipt["requests"] == 10
    assert "Nginx's rate limit refused 1,692 more, which are not counted." in receipt["summary"]


def test_files_that_the_rate_limit_has_rejected_are_told_with_the_line_that_exempts_them() -> None:
    one, two = ({"/static/": {"count": count, "path": "/static/a.js"}} for count in (1, 2))
    receipt = make_receipt("shop", "two", {"a": probe(rejected=one), "b": probe(rejected=two), "c": probe()})
    assert (
        "Nginx's rate limit rejected files of pages 3 times meanwhile, such as /static/a.js; "
        "nginx_rate_limit_exempt: [/healthz, /readyz, /static/] exempts them."
    ) in receipt["line"]
    assert "exempts" not in make_receipt("shop", "two", {"a": probe(rejected={})})["line"]


def test_files_of_the_page_before_that_are_gone_are_named() -> None:
    one, two = ({"/app.1.js": "200", "/app.css": "200"}, {"/app.1.js": "404", "/app.css": "200"})
    receipt = make_receipt("shop", "two", {"a": probe(assets=one), "b": probe(assets=two), "c": probe(assets=one)})
    assert "1 of 2 files of the page before the deploy are gone: /app.1.js (404);" in receipt["line"]
    assert "gone" not in make_receipt("shop", "two", {"a": probe(assets=one)})["line"]
