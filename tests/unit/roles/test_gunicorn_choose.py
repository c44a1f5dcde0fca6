"""A rollback brings all servers of an app to one release, or it is refused before anything changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from conftest import REPOSITORY

TASKS = Path(REPOSITORY, "roles/gunicorn/tasks/choose.yml")


def refusal(**chosen: tuple[str, str]) -> str:
    """What the task says when these servers would go back to these releases of these apps; empty when it lets them."""
    _, task = DataLoader().load_from_file(str(TASKS), trusted_as_template=True)
    ways = {host: {"__gunicorn_way_back": {"name": app, "chosen": release}} for host, (app, release) in chosen.items()}
    variables: dict[str, Any] = {"gunicorn_name": "shop", "ansible_play_hosts": list(ways), "hostvars": ways}
    templar = Templar(loader=DataLoader(), variables={**variables, **task["vars"]})
    refused = templar.template(trust_as_template("{{ " + task["when"] + " }}"))
    return str(templar.template(task["ansible.builtin.fail"]["msg"])) if refused else ""


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
