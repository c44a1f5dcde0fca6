"""The environment file of the app, as systemd and a shell read it back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import quote

GENERATOR = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")


TOLD = {"PRODUCTION_FASTAPI_REQUEST_TIMEOUT": "30", "APP_REQUEST_TIMEOUT": "30"}


def read_back(text: str) -> dict[str, str]:
    """The variables of the file as a shell reads them; for quoted values systemd has the same rules."""
    command = ["env", "-i", "/bin/sh", "-ac", f"{text}\nexec /usr/bin/env -0"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    variables = dict(line.split("=", 1) for line in output.split("\0") if line)
    return {name: value for name, value in variables.items() if name not in ("PWD", "_", "SHLVL")}


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "two words",
        'say "hi"',
        "it's",
        "$HOME ${X} `id`",
        "C:\\new\\",
        "\\\\",
        "a#b # c",
        "a=b;c&d",
        "ümlaut",
        "tab\there",
        "-----BEGIN KEY-----\nab$c\n\n-----END KEY-----\n",
        "\n",
    ],
)
def test_each_value_comes_back_as_it_was(render, value):
    text = render("gunicorn", "environment.j2", {"app_environment": {"VALUE": value}})
    assert read_back(text) == {"VALUE": value, **TOLD}
    assert f"VALUE={quote(value)}\n" in text


@pytest.mark.skipif(not GENERATOR.exists(), reason="this machine has no systemd")
def test_systemd_reads_line_breaks_back(render, tmp_path):
    """By the one program of systemd that reads such a file and shows what it has read."""
    value = '-----BEGIN KEY-----\na"b\\c\n\n-----END KEY-----\n'
    text = render("gunicorn", "environment.j2", {"app_environment": {"KEY": value, "NEXT": "1"}})
    (tmp_path / "environment.d").mkdir()
    (tmp_path / "environment.d" / "shop.conf").write_text(text)
    shown = subprocess.run(
        [GENERATOR], env={"XDG_CONFIG_HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    ).stdout
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert f'KEY="{escaped}"\nNEXT=1\n' in shown.replace("$'", '"')


def test_numbers_and_truth_are_written_as_in_yaml(render):
    text = render("gunicorn", "environment.j2", {"app_environment": {"PORT": 80, "RATE": 1.5, "DEBUG": False}})
    assert read_back(text) == {"PORT": "80", "RATE": "1.5", "DEBUG": "false", **TOLD}


def test_the_order_of_the_variables_does_not_matter(render):
    one, other = ({"A": 1, "B": 2}, {"B": 2, "A": 1})
    assert render("gunicorn", "environment.j2", {"app_environment": one}) == render(
        "gunicorn", "environment.j2", {"app_environment": other}
    )


SOCKET = "unix:///run/redis/redis-server.sock"
ON_ONE_HOST = {
    "groups": {"redis_servers": ["web1"]},
    "hostvars": {"web1": {"ansible_host": "203.0.113.10"}},
    "inventory_hostname": "web1",
}


def test_the_redis_of_the_inventory_is_told_to_the_app(render):
    text = render("gunicorn", "environment.j2", ON_ONE_HOST)
    assert read_back(text) == {"PRODUCTION_FASTAPI_REDIS_URL": SOCKET, "APP_REDIS_URL": SOCKET, **TOLD}


def test_the_environment_of_the_app_has_the_last_word(render):
    text = render("gunicorn", "environment.j2", {**ON_ONE_HOST, "app_environment": {"APP_REDIS_URL": ""}})
    assert read_back(text) == {"APP_REDIS_URL": "", **TOLD}


def test_what_the_app_calls_its_redis_and_its_time_out_holds_under_both_names(render):
    other = "redis://other:6379/1"
    mine = {"APP_REDIS_URL": other, "APP_REQUEST_TIMEOUT": 5, "APP_NAME": "My shop", "APP_RELEASE": "2026.1"}
    text = render("gunicorn", "environment.j2", {**ON_ONE_HOST, "app_environment": mine})
    assert read_back(text) == {
        "APP_NAME": "My shop",
        "APP_RELEASE": "2026.1",
        "APP_REDIS_URL": other,
        "PRODUCTION_FASTAPI_REDIS_URL": other,
        "APP_REQUEST_TIMEOUT": "5",
        "PRODUCTION_FASTAPI_REQUEST_TIMEOUT": "5",
    }


def test_the_app_learns_where_its_files_are(render):
    files = {"service-account.json": {"type": "service_account"}}
    text = render("gunicorn", "environment.j2", {"gunicorn_name": "shop", "app_files": files})
    assert read_back(text) == {"PRODUCTION_FASTAPI_FILES": "/etc/shop/files", **TOLD}
