"""The processes and jobs of an app as units: what becomes of their commands, and which server runs which job."""

from __future__ import annotations

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.background import (
    job_units,
    process_units,
    unit_command,
)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("python -m shop.mailer", "python -m shop.mailer"),
        ("python -m shop.mailer --rate=50%", "python -m shop.mailer --rate=50%%"),
        ("echo $HOME '${HOME}'", 'echo $$HOME "$${HOME}"'),
        ("sh -c 'a && b'", 'sh -c "a && b"'),
        (r"""say 'a "word"' 'back\slash' ''""", r'''say "a \"word\"" "back\\slash" ""'''),
    ],
)
def test_a_command_reaches_systemd_word_by_word(command: str, line: str) -> None:
    assert unit_command(command) == line


def test_a_process_with_a_count_is_so_many_units() -> None:
    given = [
        {"name": "mailer", "command": "python -m shop.mailer", "count": 2, "stop_timeout": 300},
        {"name": "indexer", "command": "indexer"},
        {"name": "off", "command": "off", "count": 0},
    ]
    assert process_units(given) == [
        {"unit": "mailer-1", "command": "python -m shop.mailer", "stop_timeout": 300},
        {"unit": "mailer-2", "command": "python -m shop.mailer", "stop_timeout": 300},
        {"unit": "indexer-1", "command": "indexer", "stop_timeout": 30},
    ]


def test_a_job_runs_on_the_first_server_or_on_all() -> None:
    jobs = [
        {"name": "invoices", "command": "python -m shop.invoices", "schedule": "*-*-01 03:00:00 "},
        {"name": "cleanup", "command": "cleanup", "schedule": "daily", "servers": "all", "timeout": 60, "jitter": 600},
    ]
    on_first, on_others = job_units(jobs, first=True), job_units(jobs, first=False)
    assert [job["name"] for job in on_first] == ["invoices", "cleanup"]
    assert [job["name"] for job in on_others] == ["cleanup"]
    assert (on_first[0]["timeout"], on_first[0]["jitter"], on_first[0]["schedule"]) == (3600, 0, "*-*-01 03:00:00")
