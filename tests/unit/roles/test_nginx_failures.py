"""What Nginx does, with the settings that users have, when an app server does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from test_nginx_templates import DEBIAN_13, SHOP, directives


@pytest.fixture
def main(render: Any) -> Any:
    def text(**variables: Any) -> str:
        hosts = {"groups": {"app_servers": ["app1"]}, "hostvars": {"app1": {}}}
        values = {"__fastapi_host": DEBIAN_13, "nginx_sites": [SHOP], **hosts, **variables}
        return str(render("nginx", "nginx.conf.j2", values))

    return text


def seconds(text: str, name: str) -> int:
    (value,) = directives(text, name)
    return int(value.removesuffix("s"))


def test_an_answer_comes_within_five_seconds_when_all_servers_are_cut_off(main: Any) -> None:
    (tries,) = directives(main(), "proxy_next_upstream_tries")
    assert int(tries) * seconds(main(), "proxy_connect_timeout") < 5


@pytest.mark.parametrize("deadline", [30, 10])
def test_a_frozen_server_costs_the_deadline_of_a_request_and_a_second(main: Any, deadline: int) -> None:
    text = main(hostvars={"app1": {"app_request_timeout": deadline}})
    assert seconds(text, "proxy_read_timeout") == deadline + 1
    assert seconds(text, "proxy_next_upstream_timeout") > seconds(text, "proxy_read_timeout"), "another server is asked"
