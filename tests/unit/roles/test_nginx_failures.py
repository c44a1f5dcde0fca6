"""What Nginx does, with the settings that users have, when an app server does not answer."""

from __future__ import annotations

import re
from typing import Any

import pytest
from test_nginx_templates import DEBIAN_13, SHOP, directives


@pytest.fixture
def main(render: Any) -> Any:
    def text(**variables: Any) -> str:
        hosts = {"groups": {"app_servers": ["app1"]}, "hostvars": {"app1": {}}}
        values = {"__fastapi_host": DEBIAN_13, "nginx_sites": [SHOP], **hosts, **variables}
        return str(render("nginx", "server.conf.j2", values))

    return text


def seconds(text: str, name: str) -> float:
    (value,) = directives(text, name)
    return int(value.removesuffix("ms")) / 1000 if value.endswith("ms") else int(value.removesuffix("s"))


def test_an_answer_comes_within_five_seconds_when_all_servers_are_cut_off(main: Any) -> None:
    (tries,) = directives(main(), "proxy_next_upstream_tries")
    assert int(tries) * seconds(main(), "proxy_connect_timeout") < 5


@pytest.mark.parametrize("deadline", [30, 10])
def test_a_frozen_server_costs_less_than_the_deadline_of_a_request_and_a_second(main: Any, deadline: int) -> None:
    text = main(hostvars={"app1": {"app_request_timeout": deadline}})
    assert seconds(text, "proxy_read_timeout") == deadline + 0.5
    assert seconds(text, "proxy_next_upstream_timeout") > seconds(text, "proxy_read_timeout"), "another server is asked"


# The worker, told by Nginx how long that waits, answers 504 first: three slow requests are no server that is down.


@pytest.fixture
def waits(render: Any) -> Any:
    def told(site: dict[str, Any], **variables: Any) -> dict[str, list[str]]:
        values = {"__fastapi_host": DEBIAN_13, "nginx_sites": [site], "item": site, **variables}
        text = render("nginx", "site.conf.j2", values)
        locations = re.findall(r"location (/\S*) \{([^}]*proxy_pass[^}]*)\}", text)
        return {path: re.findall(r"proxy_set_header X-Answer-Within (\S+);", block) for path, block in locations}

    return told


def test_the_worker_is_told_how_long_nginx_waits(waits: Any) -> None:
    site = {**SHOP, "routes": [{"path": "/events", "read_timeout": 3600}, {"path": "/api/"}]}
    assert waits(site, nginx_proxy_read_timeout=30.5) == {"/events": ["3600"], "/api/": ["30.5"], "/": ["30.5"]}


@pytest.mark.parametrize("where", ["extra_config", "proxy_extra_config"])
def test_a_time_out_in_a_text_of_the_user_is_not_cut_short(waits: Any, where: str) -> None:
    assert waits({**SHOP, where: "proxy_read_timeout 300s;"})["/"] == ["''"]
    assert waits({**SHOP, where: "proxy_buffering off;"})["/"] != ["''"]
