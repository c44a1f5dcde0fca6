"""What an app that cannot start has met is named with the setting that helps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox import build_sandbox, service_sandbox
from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox_symptoms import advice

SHARED = "/srv/shop/shared"
ONLY = f"The app can write only in {SHARED} and in /tmp; "
TROUBLESHOOTING = Path(__file__).parents[3] / "docs" / "how-to" / "troubleshooting.md"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("OSError: [Errno 30] Read-only file system: 'uploads'", f"{ONLY}set app_shared: [uploads] to have uploads of"),
        ("PermissionError: [Errno 13] Permission denied: 'app.log'", f"{ONLY}set app_shared: [app.log] to have"),
        ("OSError: [Errno 30] Read-only file system: 'app/data/x.db'", f"{ONLY}set app_shared: [app/data] to have"),
        (
            "OSError: [Errno 30] Read-only file system: '/srv/shop/releases/0a-1b/src/services/api/media/x'",
            f"{ONLY}set app_shared: [services/api/media] to have",
        ),
        (
            "OSError: [Errno 30] Read-only file system: '/srv/shop/current/src/app.log'",
            f"{ONLY}set app_shared: [app.log] to have",
        ),
        (
            "PermissionError: [Errno 13] Permission denied: '/var/lib/shop/x'",
            f"{ONLY}let it save there, or set gunicorn_writable_folders: [{SHARED}, /var/lib/shop],",
        ),
        (
            "OSError: [Errno 30] Read-only file system",
            f"{ONLY}name the paths of the source that it writes in app_shared.",
        ),
        (
            "sqlite3.OperationalError: unable to open database file",
            f"{ONLY}name the file of the database in app_shared, such as",
        ),
        ("sqlite3.OperationalError: attempt to write a readonly database", f"{ONLY}name the file of the database"),
        (
            "OSError: [Errno 97] Address family not supported by protocol",
            "The sandbox has sockets of AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK; add",
        ),
        ("playwright._impl._errors.Error: No usable sandbox!", "The sandbox permits no namespace"),
        ("PermissionError: [Errno 1] Operation not permitted", "The sandbox refuses system calls that change the host"),
        ('psycopg.errors.DuplicateTable: relation "t0" already exists', "Several workers have made the same tables"),
        (
            "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) table note already exists",
            "Several workers have made the same tables",
        ),
        (
            "psycopg.errors.UniqueViolation: duplicate key value violates unique constraint"
            ' "pg_type_typname_nsp_index"',
            "Several workers have made the same tables",
        ),
        (
            "[2026-11-30: WARNING] [Errno 30] Read-only file system: 'celerybeat-schedule'",
            f"{ONLY}add -s {SHARED}/celerybeat-schedule to the command of Celery's beat",
        ),
        ("OSError: [Errno 98] Address already in use", "Each worker opens this port, and only the first can"),
        ("ModuleNotFoundError: No module named 'pkg_resources'", "setuptools has no pkg_resources any more"),
        ("ModuleNotFoundError: No module named 'shop'", ""),
        ("INFO: note: permission cache: Permission denied for guests", ""),
    ],
    ids=lambda value: value[:60],
)
def test_the_setting_is_named(said: str, sentence: str) -> None:
    found = advice(f"ValueError: earlier\n{said}\n[INFO] Worker failed to boot", SHARED)
    assert found.startswith(sentence)
    assert bool(found) is bool(sentence)


def test_the_last_error_counts() -> None:
    said = "OSError: [Errno 98] Address already in use\nOSError: [Errno 30] Read-only file system: 'uploads'"
    assert "app_shared: [uploads]" in advice(said, SHARED)


@pytest.mark.parametrize(
    ("path", "named"),
    [("logs", "backend/logs"), ("logs/app.log", "backend/logs"), ("/srv/shop/releases/a1/src/backend/logs", "backend")],
)
def test_a_path_of_an_app_in_a_subdirectory_is_named_from_the_top_of_the_source(path: str, named: str) -> None:
    found = advice(f"OSError: [Errno 30] Read-only file system: '{path}'", SHARED, "backend")
    assert f"app_shared: [{named}]" in found


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/srv/shop/releases/0a-1b/src/api/client.pem", "api/client.pem"),
        ("logs/app.log", "api/logs/app.log"),
        ("/srv/shop/releases/0a-1b/venv/lib/x", ""),
        ("/etc/shop.ini", ""),
    ],
)
def test_a_file_that_the_source_does_not_have_may_come_in_three_ways(path: str, named: str) -> None:
    found = advice(f"FileNotFoundError: [Errno 2] No such file or directory: '{path}'", SHARED, "api")
    assert found.startswith(f"The source has no {named}: if git ignores it, name it in include") is bool(named)
    assert bool(found) is bool(named)


@pytest.mark.parametrize("number", [1, 13, 30, 97, 98])
def test_the_words_are_those_of_the_system(number: int) -> None:
    program = f"import os; raise OSError({number}, os.strerror({number}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert advice(done.stderr, SHARED)


def test_a_program_may_ask_for_the_addresses_of_its_host() -> None:
    for lines in (service_sandbox([SHARED]), build_sandbox()):
        (families,) = [line for line in lines if line.startswith("RestrictAddressFamilies=")]
        assert families.endswith(" AF_NETLINK")


SETTINGS = ["app_shared", "app_files", "gunicorn_writable_folders", "gunicorn_unit_extra_config"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_page_has_the_settings(setting: str) -> None:
    (table,) = re.findall(r"\| symptom \| setting \|\n(?:\|.*\n)+", TROUBLESHOOTING.read_text())
    assert setting in table
