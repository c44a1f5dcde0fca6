"""Settings as people give them, through the argument specs of all roles, and the action that checks them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.settings import convert
from ansible_collections.production.fastapi.plugins.plugin_utils.preflight import ROLES, options_of
from conftest import checked

NAMES = sorted(path.parents[1].name for path in ROLES.glob("*/meta/argument_specs.yml"))
OPTIONS = [(role, name, option) for role in NAMES for name, option in options_of(role).items()]


def of_type(*kinds: str) -> Any:
    found = [pytest.param(name, option, id=name) for _role, name, option in OPTIONS if option["type"] in kinds]
    assert found
    return pytest.mark.parametrize(("name", "option"), found)


def meant(name: str, option: dict[str, Any], value: Any) -> Any:
    """What is made of the value of one option; a sentence when it is refused."""
    settings, problems = convert({name: option}, {name: value})
    return problems.get(name, settings[name])


def test_every_option_of_every_role_is_of_a_type_that_is_tested_here() -> None:
    assert {option["type"] for _role, _name, option in OPTIONS} <= {
        "bool",
        "int",
        "float",
        "list",
        "dict",
        "str",
        "path",
        "raw",
    }


@of_type("bool")
def test_every_switch_is_off_in_all_the_ways_people_write_it(name: str, option: dict[str, Any]) -> None:
    for value in (False, "false", "False", "no", "No", "off", "0", 0):
        assert meant(name, option, value) is False, value
    for value in (True, "true", "True", "yes", "on", "1", 1):
        assert meant(name, option, value) is True, value
    assert meant(name, option, "maybe") == f'{name} is "maybe"; write true or false.'
    assert meant(name, option, None) == f"{name} is null; write true or false."


@of_type("int")
def test_every_number_may_come_as_a_text(name: str, option: dict[str, Any]) -> None:
    for value in (7, "7"):
        assert (meant(name, option, value), type(meant(name, option, value))) == (7, int)
    for value in ("64mb", "", 1.5, True):
        assert str(meant(name, option, value)).endswith("; write a whole number."), value


@of_type("float")
def test_every_share_may_come_as_a_text(name: str, option: dict[str, Any]) -> None:
    assert [meant(name, option, value) for value in (1, "0.5", 2.5)] == [1.0, 0.5, 2.5]
    assert meant(name, option, "much") == f'{name} is "much"; write a number.'


@of_type("list")
def test_every_list_may_come_as_a_text(name: str, option: dict[str, Any]) -> None:
    for value in (["a", "b"], "a,b", "a, b", '["a", "b"]'):
        assert meant(name, option, value) == ["a", "b"], value
    assert meant(name, option, "") == []
    assert meant(name, option, 1) == f"{name} is 1; write a list, such as [one, two]."


@of_type("dict")
def test_every_dictionary_may_come_as_json(name: str, option: dict[str, Any]) -> None:
    for value in ({"a": 1}, '{"a": 1}'):
        assert meant(name, option, value) == {"a": 1}
    shown = "not what it should be" if option.get("no_log") else '"s3cr3t"'
    assert meant(name, option, "s3cr3t") == f"{name} is {shown}; write a dictionary, such as {{name: value}}."


@of_type("str", "path")
def test_every_text_may_be_a_number_and_is_one_of_its_choices(name: str, option: dict[str, Any]) -> None:
    if "choices" in option:
        listed = ", ".join(option["choices"])
        assert [meant(name, option, value) for value in option["choices"]] == option["choices"]
        assert meant(name, option, "none of them") == f'{name} is "none of them"; write one of {listed}.'
    else:
        assert meant(name, option, 3.12) == "3.12"
        shown = "not what it should be" if option.get("no_log") else '["s3cr3t"]'
        assert meant(name, option, ["s3cr3t"]) == f"{name} is {shown}; write a text."


@pytest.mark.parametrize("role", NAMES)
def test_the_defaults_mean_what_they_are(role: str) -> None:
    options = options_of(role)
    given = {name: option["default"] for name, option in options.items() if "default" in option}
    settings, problems = convert({name: options[name] for name in given}, given)
    assert (settings, problems) == (given, {})


def test_what_a_check_says_of_a_setting_is_said_once() -> None:
    settings, problems = checked("redis", {"redis_memory": "64mb", "redis_allowed_addresses": 7})
    assert problems == [
        "redis_allowed_addresses is 7; write a list, such as [one, two].",
        'redis_memory is "64mb"; write a whole number of MiB from 16 to 1000000.',
    ]
    assert settings["redis_memory"] == "64mb"


def test_secrets_stay_where_they_are() -> None:
    settings, problems = checked("redis", {"redis_password": "pl4nted", "redis_bind": "10.0.0.5:6379"})
    assert "pl4nted" not in f"{settings}{problems}"
    assert sorted(settings) == ["redis_allowed_addresses", "redis_bind", "redis_memory"]


PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        __fastapi_host: {distribution: debian, distribution_version: "13", addresses: {}}
    - production.fastapi.preflight: {role: redis, host: "{{ __fastapi_host }}"}
      register: __redis_checked
    - ansible.builtin.debug: {var: __redis_checked.settings}
  vars:
    redis_bind: "{{ mine }}:6379"
    redis_password: pl4nted of sixteen letters
    redis_sentinel_password: ""
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    (tmp_path / "hosts.ini").write_text(
        "[redis_servers]\nr1 mine=10.0.0.5 redis_memory=128 redis_allowed_addresses=10.0.0.8,10.0.0.9\n"
    )
    (tmp_path / "play.yml").write_text(PLAY)

    def play(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.ini", "play.yml", *arguments]
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(ROLES.parent / ".ansible-collections"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
        }
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return play


def test_the_action_reads_an_ini_inventory_and_tells_all_at_once(run: Any) -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    shown = yaml.safe_load(done.stdout.partition("ok: [r1] =>")[2].partition("PLAY RECAP")[0])
    assert shown["__redis_checked.settings"] == {
        "redis_allowed_addresses": ["10.0.0.8", "10.0.0.9"],
        "redis_bind": "10.0.0.5:6379",
        "redis_memory": 128,
    }
    refused = run("-e", "mine=300.0.0.5", "-e", "redis_memory=1", "-vvv")
    assert refused.returncode == 2
    for sentence in ('redis_bind is "300.0.0.5:6379"; write the private', 'redis_memory is "1"; write a whole number'):
        assert sentence in " ".join(refused.stdout.split())
    assert "pl4nted" not in refused.stdout


def test_a_secret_inside_a_setting_is_not_shown():
    from ansible_collections.production.fastapi.plugins.plugin_utils.preflight import masked, options_of

    site = {"name": "shop", "password": "pl4nted"}
    shown = masked(options_of("nginx")["nginx_sites"], [site, {"name": "blog"}])
    assert shown == [{"name": "shop", "password": "********"}, {"name": "blog"}]
    assert site["password"] == "pl4nted"


READS = """
- hosts: app_servers
  gather_facts: false
  connection: local
  vars_files: ["{{ of_roles }}/app/defaults/main.yml", "{{ of_roles }}/app/vars/main.yml"]
  tasks:
    - block:
        - production.fastapi.preflight:
            role: app
            host: {distribution: debian, distribution_version: "13", python_version: "3.13", managed: "{{ managed }}"}
            thorough: "{{ thorough }}"
          register: checked
      rescue:
        - ansible.builtin.debug: {msg: "said {{ ansible_failed_result.msg }}"}
    - ansible.builtin.debug: {var: checked.source}
"""


@pytest.mark.parametrize("thorough", [True, False])
def test_a_source_is_told_of_at_the_end_or_at_once(run: Any, tmp_path: Path, thorough: bool) -> None:
    (tmp_path / "hosts.ini").write_text("[app_servers]\none\n")
    (tmp_path / "play.yml").write_text(READS)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/main.py").write_text("import httpx\napp = FastAPI()\n")
    (tmp_path / "source/requirements.txt").write_text("fastapi\nuvicorn==0.20.0\n")
    app = {"app_name": "shop", "app_domains": [], "app_entrypoint": "main:app", "app_source": {"folder": "source"}}
    given = {**app, "thorough": thorough, "managed": {}, "of_roles": str(ROLES), "app_batches": ["x"]}
    done = run("-e", json.dumps(given))
    assert done.returncode == 0, done.stdout + done.stderr
    shown = yaml.safe_load(done.stdout.rpartition("ok: [one] =>")[2].partition("PLAY RECAP")[0])["checked.source"]
    assert "said app_batches is " in done.stdout
    assert isinstance(shown, dict) is thorough
    if thorough:
        assert "cannot be served with: uvicorn 0.20.0" in shown["refused"][0]
        assert "requirements.txt does not name httpx" in shown["hints"][0]
        assert done.stdout.count("does not name httpx") == 1
    for managed, warned in (({}, not thorough), ({"gunicorn-shop": 1}, False)):
        again = run("-e", json.dumps({**given, "app_batches": [1], "managed": managed}))
        assert ("does not name httpx" in again.stderr) is warned
        assert ("does not name httpx" in again.stdout) is (thorough and not managed)
