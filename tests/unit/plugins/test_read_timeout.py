"""How long Nginx waits for the apps of an inventory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.filter.read_timeout import read_timeout


@pytest.mark.parametrize(
    ("servers", "seconds"),
    [
        ([], 120),
        ([{}], 30.5),
        ([{"app_request_timeout": 10}], 10.5),
        ([{"app_request_timeout": "45"}, {"app_request_timeout": 10}], 45.5),
        ([{"app_request_timeout": 59, "gunicorn_timeout": 60}, {}], 59.5),
        ([{"app_request_timeout": 90, "gunicorn_timeout": 60}], 60),
        ([{"app_request_timeout": "soon"}], 30.5),
    ],
)
def test_it_waits_half_a_second_longer_than_the_app(servers: list[dict[str, Any]], seconds: float) -> None:
    hostvars = {f"app{number}": server for number, server in enumerate(servers)}
    assert read_timeout({"app_servers": list(hostvars)}, hostvars) == seconds


def test_an_inventory_without_the_group() -> None:
    assert read_timeout({}, {}) == 120
