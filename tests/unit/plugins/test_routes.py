"""The routes of a site, completed and checked."""

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.routes import route_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.routes import limited_headers, routes


def site(*entries, **values):
    return {"name": "shop", "routes": list(entries), **values}


def test_a_site_without_routes_has_the_one_that_is_the_whole_site():
    (route,) = routes({"name": "shop"})
    assert route == {
        "path": "/",
        "limits": [],
        "body_size": "",
        "stream": False,
        "read_timeout": 0,
        "cache": 0,
        "immutable": False,
        "retry_after": 1,
    }


def test_the_rest_of_the_site_comes_last_unless_it_is_written():
    assert [route["path"] for route in routes(site({"path": "/api"}))] == ["/api", "/"]
    assert [route["path"] for route in routes(site({"path": "/", "cache": 1}, {"path": "/api"}))] == ["/", "/api"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (
            {"rate": "10/s", "burst": 20},
            {"key": "address", "variable": "rate_limit_key", "rate": "10r/s", "zone": "shop/api@address"},
        ),
        (
            {"key": "X-API-Key", "rate": "5/m"},
            {"key": "X-API-Key", "variable": "rate_limit_x_api_key", "rate": "5r/m", "zone": "shop/api@x_api_key"},
        ),
        (
            {"key": "total", "rate": "500/s"},
            {"key": "total", "variable": "rate_limit_total", "rate": "500r/s", "zone": "shop/api@total"},
        ),
    ],
)
def test_a_limit_has_a_zone_that_is_named_after_what_it_counts(limit, expected):
    (route, _rest) = routes(site({"path": "/api", "limits": [limit]}))
    assert route["limits"] == [{"burst": limit.get("burst", 0), "delay": False, **expected}]


@pytest.mark.parametrize(("rates", "seconds"), [(["10/s"], 1), (["7/m"], 9), (["10/s", "5/m"], 12), (["1/m"], 60)])
def test_a_client_is_told_to_wait_for_the_slowest_limit(rates, seconds):
    limits = [{"key": f"X-{number}", "rate": rate} for number, rate in enumerate(rates)]
    assert routes(site({"path": "/api", "limits": limits}))[0]["retry_after"] == seconds


def test_headers_are_named_once_for_all_sites():
    limits = [{"key": key, "rate": "1/s"} for key in ("X-API-Key", "Authorization", "address", "total")]
    sites = [site({"path": "/a", "limits": limits}), site({"path": "/b", "limits": limits[:1]})]
    assert limited_headers(sites) == ["authorization", "x_api_key"]


@pytest.mark.parametrize(
    ("route", "sentence"),
    [
        ({"path": "api"}, "its route api is not a plain path; write one such as /api/upload."),
        ({"path": "/a b"}, "its route /a b is not a plain path; write one such as /api/upload."),
        ({"path": "/../x"}, "its route /../x is not a plain path; write one such as /api/upload."),
        (
            {"path": "/", "body_size": "10 MB"},
            "its route / has the body_size 10 MB; write a number with k, m or g, such",
        ),
        ({"path": "/", "read_timeout": 0}, "its route / has the read_timeout 0; write a number of seconds from 1"),
        ({"path": "/", "cache": -1}, "its route / has the cache -1; write a number of seconds from 1"),
        ({"path": "/", "cache": 1, "stream": True}, "its route / is streamed and cached; remove stream or cache"),
        (
            {"path": "/a/", "immutable": True, "cache": 5},
            "its route /a/ is immutable, so it is kept for 30 days; ",
        ),
        ({"path": "/a/", "immutable": True, "stream": True}, "its route /a/ is immutable, so it is kept for 30 days"),
        ({"path": "/", "limits": [{"rate": "10"}]}, "its route / has the rate 10; write requests per second or minute"),
        ({"path": "/", "limits": [{"rate": "0/s"}]}, "its route / has the rate 0/s; write requests per second"),
        ({"path": "/", "limits": [{"rate": "1/s", "burst": -1}]}, "its route / has the burst -1; write 0 or more."),
        (
            {"path": "/", "limits": [{"rate": "1/s", "key": "$x"}]},
            "its route / is limited by '$x'; write address, total",
        ),
        ({"path": "/", "limits": [{"rate": "1/s"}, {"rate": "2/s"}]}, "its route / has 2 limits by address; keep one."),
        ({"path": "/static/"}, "routes has the path /static/, but static files are there; remove one of them."),
    ],
)
def test_what_nginx_could_not_serve_is_refused(route, sentence):
    (problem,) = route_problems([site(route, static=[{"url": "/static/", "folder": "/srv/static"}])])
    assert problem.startswith(f"Site shop: {sentence}")


def test_a_path_is_written_once():
    (problem,) = route_problems([site({"path": "/a"}, {"path": "/a"})])
    assert problem == "Site shop: routes has the path /a 2 times; write all that holds for it in one entry."


def test_routes_that_can_be_served_have_no_problems():
    limits = [{"rate": "10/s", "burst": 20, "delay": True}, {"key": "Authorization", "rate": "5/m"}]
    entries = [{"path": "/", "limits": limits, "body_size": "5m", "cache": 1}, {"path": "/ws/", "read_timeout": 3600}]
    assert route_problems([site(*entries, {"path": "/up", "stream": True}), {"name": "blog"}]) == []
