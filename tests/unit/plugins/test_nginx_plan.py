"""What the role nginx works out for a host before it writes a file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx import leading_numbers
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx_site import POWERLESS, SitePlan, site_plan
from ansible_collections.production.fastapi.plugins.plugin_utils.preflight import examine
from conftest import view_of

SITE = {"name": "my-shop", "domains": ["shop.example.com", "2001:db8::1"], "servers": ["unix:/run/shop/http.sock"]}
SETTINGS = {
    "nginx_certificate": "self-signed",
    "nginx_connections_per_client": 0,
    "nginx_proxy_read_timeout": 30.5,
    "nginx_rate_limit_burst": 20,
    "nginx_rate_limit_mode": "enforce",
}
HEADERS = "include production.fastapi/headers.conf"
IMMUTABLE = 'add_header Cache-Control "public, max-age=31536000, immutable"'
BESIDE = {"name": "blog", "domains": ["blog.example.com"], "servers": ["127.0.0.1:9000"]}
FACTS = {"drained": {}, "inventory": "mine", "sites": {}, "packages": {}}


def planned(settings: dict[str, Any] | None = None, **site: Any) -> SitePlan:
    return site_plan({**SITE, **site}, SETTINGS | (settings or {}), {})


def asked(step: str, facts: dict[str, Any] | None = None, **variables: Any) -> Any:
    """What the action `preflight` finds for a step of the role."""
    hosts = {"groups": {"app_servers": ["app1", "app2"]}, "hostvars": {"app1": {}, "app2": {}, "lb": {}}}
    known = {"__fastapi_host": FACTS | (facts or {}), "inventory_hostname": "lb", "nginx_sites": [SITE], **hosts}
    view = view_of("nginx", known | variables, leaving=True)
    return examine("nginx", view.variables.__getitem__, view, step)


def test_names_are_written_as_nginx_reads_them() -> None:
    plan = planned(redirect_domains=["2001:db8::1"])
    assert (plan.variable, plan.names) == ("my_shop", ["shop.example.com", "[2001:db8::1]"])
    assert (plan.own_names, plan.redirect_names) == (["shop.example.com"], ["2001:db8::1"])
    assert plan.redirect_to == "shop.example.com"


def test_a_site_without_a_limit_has_those_of_all_and_one_with_limits_its_own() -> None:
    route = {"path": "/login", "limits": [{"rate": "5/m", "burst": 2, "delay": True}]}
    login, rest = planned({"nginx_connections_per_client": 100}, routes=[route]).routes
    assert login.limits == [
        "limit_conn fastapi_connections 100",
        "limit_req zone=fastapi_my-shop/login@address burst=2",
        "set $fastapi_retry_seconds 12",
    ]
    assert rest.limits == ["limit_conn fastapi_connections 100", "limit_req zone=fastapi_clients burst=20 nodelay"]
    at_once, _rest = planned(routes=[{"path": "/api", "limits": [{"rate": "9/s"}]}]).routes
    assert at_once.limits == ["limit_req zone=fastapi_my-shop/api@address nodelay"]
    without = planned({"nginx_rate_limit_mode": "disabled"}, routes=[route])
    assert ([route.limits for route in without.routes], without.zones) == ([[], []], [])


def test_files_of_a_release_before_are_tried_below_the_folder_that_both_share() -> None:
    entry = {"url": "/s.t/", "folder": "/srv/shop/public/current/s", "former": "/srv/shop/public/kept/s"}
    (both,) = planned(static=[entry]).static
    assert (both.pattern, both.root) == ("^/s[.]t/(.*)$", "/srv/shop/public")
    assert both.tries == ["/current/s$uri", "/kept/s$uri"]
    (one,) = planned(static=[{"url": "/m/", "folder": "/srv/m/", "untrusted_below": "/srv"}]).static
    assert (one.tries, one.alias) == ([], "/srv/m/")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, ["expires 30d", "gzip_static on"]),
        ({"immutable": True}, [HEADERS, IMMUTABLE, "gzip_static on"]),
        (
            {"untrusted_below": "/srv", "expires": "1h"},
            [
                "disable_symlinks on from=/srv",
                HEADERS,
                f'add_header Content-Security-Policy "{POWERLESS}" always',
                "expires 1h",
                "gzip_static off",
            ],
        ),
    ],
)
def test_what_goes_with_a_file(entry: dict[str, Any], expected: list[str]) -> None:
    (one,) = planned(static=[{"url": "/m/", "folder": "/srv/m/", **entry}]).static
    assert one.answers == expected


def test_only_a_front_end_takes_bodies_for_the_app() -> None:
    routes = [{"path": "/", "body_size": "5m"}]
    front, other = planned(
        static=[{"url": "/", "folder": "/f", "fallback": "index.html"}, {"url": "/m/", "folder": "/m"}], routes=routes
    ).static
    assert (front.body_size, other.body_size) == ("5m", "")


def test_clients_are_counted_by_headers_where_limits_hold_and_answers_never_depend_on_them() -> None:
    route = {"path": "/api", "cache": 3, "limits": [{"key": "X-Tenant", "rate": "1/s"}]}
    credentials = "$http_authorization$http_cookie$http_x_api_key$http_x_tenant"
    for mode, counted in (("enforce", ["x_tenant"]), ("disabled", [])):
        plan = planned({"nginx_rate_limit_mode": mode}, routes=[route])
        assert (plan.counted, plan.credentials) == (counted, credentials)
    assert planned(routes=[{**route, "cache": 0}]).credentials == ""


def test_the_plan_of_a_site_has_no_password() -> None:
    plan = planned(password="pl4nted")
    assert plan.asks_password
    assert plan.is_closed
    assert "pl4nted" not in str(plan)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1.22.1-9+deb12u11", (1, 22, 1)), ("1:1.25.0-2ubuntu7", (1, 25, 0)), ("1.26", (1, 26)), ("", ()), ("x", ())],
)
def test_a_version_is_compared_by_its_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert leading_numbers(text) == numbers


def test_a_note_says_who_has_asked_for_a_drain_and_why() -> None:
    found = asked("drain", server="app1", reason="disk")
    assert (found.problems, found.derived["drain_step"]) == ([], "write")
    note = json.loads(found.derived["note"])
    assert (note["by"], note["reason"]) == ("drain", "disk")
    by_patch = {"drained": {"app1": {"by": "patch"}}}
    assert asked("drain", by_patch, server="app1", __nginx_drained_by="patch").derived["drain_step"] == "keep"


@pytest.mark.parametrize(("by", "step"), [("drain", "keep"), ("patch", "remove")])
def test_an_upgrade_ends_its_own_drain_alone(by: str, step: str) -> None:
    noted = {"drained": {"app1": {"by": by}}}
    assert asked("undrain", noted, server="app1", __nginx_drained_by="patch").derived == {
        **asked("undrain", noted, server="app1").derived,
        "drain_step": step,
    }


def test_a_drain_of_the_last_server_is_refused_and_an_undrain_never_is() -> None:
    (sentence,) = asked("drain", server="app3").problems
    assert sentence.startswith("server is 'app3'; write -e server=NAME")
    assert asked("undrain", server="app3").problems == []


def test_the_site_of_an_app_leaves_with_those_that_come_from_elsewhere() -> None:
    assert [site["name"] for site in asked("leave", app="blog").derived["sites"]] == ["my-shop"]
    assert asked("leave", app="my-shop").derived["sites"] == []
    foreign = {"sites": {"blog": {**BESIDE, "inventory": "other"}}}
    both = {"nginx_sites": [SITE, {**BESIDE, "domains": ["blog.example.com"]}]}
    assert [site["name"] for site in asked("leave", foreign, app="x", **both).derived["sites"]] == ["my-shop"]


def test_a_maintenance_on_another_load_balancer_is_known_here() -> None:
    hosts = {"groups": {"load_balancers": ["lb", "lb2"]}, "hostvars": {"lb": {}, "lb2": {}}}
    note = {"my-shop": {"retry_after": 60, "allow": []}}
    hosts["hostvars"]["lb2"] = {"__fastapi_host": {"maintenance": note}}  # type: ignore[index]
    (site,) = asked("", **hosts).derived["sites"]
    assert site["maintenance"] == note["my-shop"]
    (site,) = asked("", {"maintenance": {"my-shop": {"retry_after": 5, "allow": []}}}, **hosts).derived["sites"]
    assert site["maintenance"]["retry_after"] == 5, "the host itself has the last word"


def test_packages_that_are_there_are_not_installed_again() -> None:
    plan = asked("", {"packages": {"nginx": "1.22.1-9", "openssl": "3"}}, nginx_exporter="yes").derived
    assert plan["missing"] == ["logrotate", "prometheus-nginx-exporter"]
    assert plan["would_install"] == "apt would install logrotate and prometheus-nginx-exporter (Nginx 1.22.1)"
    assert not plan["http2_directive"]
