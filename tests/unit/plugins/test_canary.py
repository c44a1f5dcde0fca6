"""What is made of the answers of the first servers with a new release, by figures that can be checked by hand."""

from __future__ import annotations

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.canary import Side, judge
from ansible_collections.production.fastapi.plugins.plugin_utils.inventory import server_addresses, servers_of

FAST = {"10": 90, "20": 10}  # nearest rank: the 95th of 100 is 20 ms


def answers(server: str, release: str, *, errors: int = 0, times: dict[str, int] | None = None, probe: bool = False):
    """An entry of the module `traffic`."""
    times = FAST if times is None else times
    return {"server": server, "release": release, "errors": errors, "times": times, "probe": probe}


def judged(*readings, max_errors: float = 1, max_slowdown: float = 2, min_requests: int = 100):
    """The verdict on app1, which has the release two; app2 and app3 have one."""
    bounds = {"max_errors": max_errors, "max_slowdown": max_slowdown, "min_requests": min_requests}
    return judge(readings, ["app1"], ["two"], **bounds)


OTHERS = [answers("app2", "one"), answers("app3", "one")]


def test_a_canary_as_good_as_the_others_is_none_of_a_problem() -> None:
    seen = judged([answers("app1", "two"), *OTHERS])
    assert (seen["problem"], seen["judged_by"], seen["canaries"]) == ("", "clients", ["app1"])
    assert seen["canary"] == {"requests": 100, "errors": 0, "p95_ms": 20.0}
    assert seen["others"] == {"requests": 200, "errors": 0, "p95_ms": 20.0}
    assert seen["summary"] == (
        "Of clients, the canary app1 had 0 errors in 100 requests (0.0 %), p95 20 ms; "
        "the others had 0 errors in 200 requests (0.0 %), p95 20 ms."
    )


@pytest.mark.parametrize(("errors", "bad"), [(0, False), (1, False), (2, True)])
def test_errors_up_to_the_bound_and_above(errors: int, bad: bool) -> None:
    canary = answers("app1", "two", errors=errors, times={"10": 100 - errors})
    assert ("fails more often" in judged([canary, *OTHERS])["problem"]) == bad


def test_errors_of_the_others_are_allowed_to_the_canary() -> None:
    canary = answers("app1", "two", errors=6, times={"10": 94})
    assert judged([canary, answers("app2", "one", errors=5, times={"10": 95})])["problem"] == ""


def test_an_error_without_an_answer_counts_for_the_server_that_was_asked() -> None:
    seen = judged([answers("app1", "two"), answers("app1", "", errors=9, times={}), *OTHERS])
    assert seen["canary"]["errors"] == 9
    assert seen["problem"] != ""


def test_what_a_canary_answered_with_its_old_release_does_not_count() -> None:
    seen = judged([answers("app1", "two"), answers("app1", "one", errors=50), *OTHERS])
    assert (seen["problem"], seen["canary"]["requests"]) == ("", 100)


@pytest.mark.parametrize(("others", "canary", "bad"), [(20, 40, False), (20, 41, True), (2, 12, False), (2, 13, True)])
def test_times_up_to_the_bound_and_above(others: int, canary: int, bad: bool) -> None:
    seen = judged([answers("app1", "two", times={str(canary): 100}), answers("app2", "one", times={str(others): 100})])
    assert ("times as slow" in seen["problem"]) == bad


def test_the_bounds_are_settable() -> None:
    canary = answers("app1", "two", errors=9, times={"100": 91})
    assert judged([canary, *OTHERS], max_errors=9, max_slowdown=5)["problem"] == ""
    assert "more than 8 requests in a hundred" in judged([canary, *OTHERS], max_errors=8, max_slowdown=5)["problem"]
    assert "more than 4.5 times" in judged([canary, *OTHERS], max_errors=9, max_slowdown=4.5)["problem"]


def test_p95_by_nearest_rank_is_a_time_that_was_seen() -> None:
    side = Side()
    side.add(answers("app2", "one", times={"10": 94, "30": 1, "900": 5}))
    assert side.p95_ms == 30.0
    side.add(answers("app3", "one", times={"900": 1}))
    assert side.p95_ms == 900.0  # the 96th of 101
    assert Side().p95_ms == 0.0


def test_answers_of_several_load_balancers_add_up() -> None:
    half = {"10": 45, "20": 5}
    reading = [answers("app1", "two", times=half), answers("app2", "one", times=half)]
    assert judged(reading)["problem"] != ""
    seen = judged(reading, reading)
    assert (seen["problem"], seen["canary"]["requests"], seen["others"]["requests"]) == ("", 100, 100)


def test_where_clients_are_few_the_probe_counts_too() -> None:
    few = answers("app1", "two", errors=1, times={"10": 9})
    probed = [answers(server, release, probe=True) for server, release in (("app1", "two"), ("app2", "one"))]
    seen = judged([few, *OTHERS, *probed])
    assert (seen["judged_by"], seen["canary"]["requests"], seen["problem"]) == ("clients and the probe", 110, "")
    assert seen["summary"].endswith(" Of clients alone it had 10, which is too few.")
    assert judged([answers("app1", "two"), *OTHERS, *probed])["canary"]["requests"] == 100


@pytest.mark.parametrize("reading", [[], [answers("app1", "two")], OTHERS])
def test_nobody_can_tell_by_too_few(reading) -> None:
    seen = judged(reading)
    assert (
        seen["problem"]
        == "Too few requests reached the canary or the others: each needs 100 (app_canary_min_requests)."
    )
    assert seen["judged_by"] == ""


def test_the_servers_of_an_app_and_where_a_load_balancer_reaches_them() -> None:
    hostvars = {
        "lb1": {"ansible_host": "10.0.0.1"},
        "app1": {"ansible_host": "10.0.0.2", "app_name": "shop", "gunicorn_bind": "0.0.0.0:8000"},
        "app2": {"ansible_host": "10.0.0.3", "app_name": "shop", "gunicorn_bind": "10.0.0.3:8000"},
        "mail": {"ansible_host": "10.0.0.3", "app_name": "mail", "gunicorn_bind": "10.0.0.3:9000"},
    }
    servers = servers_of(["app1", "mail", "app2"], "shop", hostvars)
    assert servers == ["app1", "app2"]
    assert server_addresses(servers, "shop", hostvars, "lb1") == {
        "app1": "10.0.0.2:8000",
        "app2": "10.0.0.3:8000",
    }
