"""A rollback brings all servers of an app to one release, or it is refused before anything changes."""

from __future__ import annotations

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.plans import Run, way_back


def refusal(**chosen: tuple[str, str]) -> str:
    """What the plan says when these servers would go back to these releases of these apps; empty when it lets them."""
    ways = {host: {"__gunicorn_way_back": {"name": app, "chosen": release}} for host, (app, release) in chosen.items()}
    return " ".join(way_back(Run({}, ways), {"name": "shop", "hosts": list(ways)}).problems)


def test_servers_that_would_go_back_to_different_releases_are_refused_with_both() -> None:
    assert refusal(web1=("shop", "17ab3c9d-8b1c"), web2=("shop", "4f2a9c01-8b1c")) == (
        "The servers of shop would go back to different releases: web1 to 17ab3c9d-8b1c, web2 to 4f2a9c01-8b1c;"
        " name one of them with -e release=NAME."
    )


@pytest.mark.parametrize(
    "chosen",
    [
        {"web1": ("shop", "17ab3c9d-8b1c"), "web2": ("shop", "17ab3c9d-8b1c")},
        {"web1": ("shop", "17ab3c9d-8b1c"), "web2": ("shop", "17ab3c9d-aaaa")},  # the same source on another Python
        {"web1": ("shop", "17ab3c9d-8b1c"), "pay": ("payments", "4f2a9c01-8b1c")},
    ],
)
def test_servers_that_go_back_together_are_let(chosen: dict[str, tuple[str, str]]) -> None:
    assert refusal(**chosen) == ""
