"""Secrets of an app are masked wherever its text is shown, and every such place is found."""

import ast
import json
import os
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from ansible_collections.production.fastapi.plugins.module_utils._host import masking
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host

REPOSITORY = Path(__file__).resolve().parents[3]
PLUGINS = REPOSITORY / "plugins"


def masked(text: str, *values: Any) -> str:
    return masking.mask(text, masking.secrets_of(values))


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("hunter2-and-more", "hunter2-and-more"),
        ("postgresql://shop:pl4nted@db/shop", "could not connect to postgresql://shop:pl4nted@db/shop"),
        ("postgresql://shop:pl4nted@db/shop", "postgresql+asyncpg://shop:pl4nted@db:5432/shop?ssl=on"),
        ("postgresql://shop:pl4nted@db/shop", "password='pl4nted'"),
        ("postgresql://shop:pl4%2Fnted@db/shop", "authentication failed with pl4/nted"),
        ("postgresql://shop:pl4@nted@db/shop", "pl4@nted"),
        ("postgresql://db/shop?user=shop&password=pl4nted", "password is pl4nted"),
        ("host=db user=shop password='pl4 nted'", "{'password': 'pl4 nted'}"),
        ("Server=db;Password=pl4nted;", "login with pl4nted"),
        ("redis://:pl4nted@cache/0", "AUTH pl4nted"),
        ("https://pl4nted@sentry.example.com/1", "key pl4nted"),
        ("https://bot:pl4nted@host/", "Basic Ym90OnBsNG50ZWQ="),
        ("pl4nted", "Bearer cGw0bnRlZA=="),
        ('{"db": {"password": "pl4nted"}, "hosts": ["a"]}', "settings.db.password=pl4nted"),
        ("it's pl4\\nted", repr({"TOKEN": "it's pl4\\nted"})),
        ('a "pl4\\nted', json.dumps({"TOKEN": 'a "pl4\\nted'})),
        ("pl4ñted/x", json.dumps("pl4ñted/x")),
        ("pl4ñted/x", quote("pl4ñted/x")),
        ("pl4ñted/x", quote("pl4ñted/x", safe="")),
        (13579024681, "pin 13579024681"),
        ("pl4nted\n", "token pl4nted."),
        ("-----BEGIN KEY-----\npl4nted\n", "line 2 is pl4nted"),
    ],
)
def test_a_secret_is_masked_however_it_is_spelled(value, printed):
    shown = masked(printed, value)
    assert masking.MASK in shown
    for secret in ("pl4", "nted", "Ym90", "cGw0", "hunter2", "13579"):
        assert secret not in shown


def test_nothing_remains_of_a_secret_that_has_another_one_in_it():
    assert masking.mask("dsn=pl4nted-and-longer", ["pl4nted", "pl4nted-and-longer"]) == f"dsn={masking.MASK}"


def test_a_url_that_is_in_no_setting_loses_its_password_too():
    assert (
        masked("see https://a:b@c/ and ssh://git@host/x.git")
        == f"see https://{masking.MASK}@c/ and ssh://git@host/x.git"
    )


def test_secrets_of_urls_are_hidden_everywhere():
    settings = {"git": "https://bot:s3cr3t%21x@git.example.com/x.git", "options": ["--index", "http://token@mirror/"]}
    secrets = masking.secrets_of_urls(settings)
    shown = masking.mask("failed: bot:s3cr3t%21x s3cr3t!x https://a:b@c/ token", secrets)
    assert not re.search("s3cr3t|token|a:b@", shown)


@pytest.mark.parametrize("value", ["1", "yes", "info", "production", "FastAPI", "8000", 30, True, ""])
def test_common_settings_do_not_eat_the_message(value):
    text = f"release 1 in production says info to port 8000 after 30 s: yes {value}"
    assert masked(text, value) == text


def test_an_app_that_has_printed_its_environment_is_shown_without_it(tmp_path, monkeypatch):
    (tmp_path / "etc/shop").mkdir(parents=True)
    (tmp_path / "etc/shop/environment").write_text(
        '# Written by a role.\nTOKEN="pl4\\\\nt\\$ed"\nLEVEL="info"\nKEY="a k3y\nof l1nes\n"\n'
    )
    (tmp_path / "bin").mkdir()
    journal = tmp_path / "bin/journalctl"
    long = "x" * 390
    journal.write_text(f"#!/bin/sh\nprintf '%s\\n' '{long}pl4\\nt$ed' 'info: pl4\\\\nt$ed' 'of l1nes'\n")
    journal.chmod(journal.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    lines = Host(tmp_path).log("shop.worker-1@release.service", 0)
    assert lines == [f"{long}{masking.MASK}", f"info: {masking.MASK}", masking.MASK]
    assert Host(tmp_path).log("shop@release.service", 0) == lines


# Every call that shows text of an app


def test_only_one_function_reads_the_journal_for_people_and_it_masks():
    readers = []
    for path in sorted(PLUGINS.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and runs(function, "journalctl"):
                readers.append(("/".join(path.parts[-2:]), function.name))
                assert "mask" in {call.func.id for call in calls(function) if isinstance(call.func, ast.Name)}
    assert readers == [("_host/systemd.py", "log")]


def test_what_a_build_prints_leaves_the_module_masked():
    for path in sorted((PLUGINS / "modules").glob("*.py")):
        tree = ast.parse(path.read_text())
        for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)):
            name = handler.type.id if isinstance(handler.type, ast.Name) else ""
            if name == "ReleaseError":
                shown = [ast.unparse(call) for call in calls(handler) if ast.unparse(call.func) == "module.fail_json"]
                assert shown, path
                assert all("msg=mask(" in call and ("log=" not in call or "log=log" in call) for call in shown), path
                assert "log = mask(error.log, secrets)" in ast.unparse(handler) or not any(
                    "log=" in call for call in shown
                )


def test_no_task_shows_what_an_app_has_printed_unmasked():
    found = []
    texts = {
        path: path.read_text()
        for folder in ("roles", "playbooks")
        for path in sorted((REPOSITORY / folder).rglob("*.yml"))
    }
    for path, text in texts.items():
        for task in tasks(yaml.safe_load(text)):
            if not PRINTS.search(json.dumps([task.get(name) for name in COMMANDS])):
                continue
            found.append(path.name)
            assert task.get("no_log") is True, f"{path}: {task['name']}"
            assert task.get("failed_when") is False, f"{path}: {task['name']}"
            whole = f"{{{{ {task['register']} }}}}"
            shown = re.compile(rf"{task['register']}\.(stdout|stderr|msg)|{re.escape(whole)}")
            for other, content in texts.items():
                taken = [value for each in tasks(yaml.safe_load(content)) for value in scalars(masked_by_plan(each))]
                used = [scalar for scalar in scalars(yaml.safe_load(content)) if shown.search(scalar)]
                assert used.count(whole) == taken.count(whole), other
                for value in used:
                    assert value in {whole} | JSON_OF_OURS or MASKED.search(value), (other, value)
    assert sorted(found) == ["command.yml", "exec.yml", "logs.yml", "schema.yml"]


def test_the_only_script_that_prints_a_log_is_one_whose_output_config_tree_masks():
    scripts = [path.name for path in (REPOSITORY / "roles").rglob("*.j2") if "journalctl --quiet" in path.read_text()]
    assert scripts == ["try.sh.j2"]


# A log, or a command in the environment of an app.
PRINTS = re.compile(r"journalctl --quiet|__gunicorn_config_folder \}\}/run")
COMMANDS = ("ansible.builtin.command", "ansible.builtin.shell")
PLAN = "production.fastapi.plan"
# Masked, or made to be masked by the next variable.
MASKED = re.compile(r"production\.fastapi\.masked|\[__gunicorn_exec\.stdout, __gunicorn_exec\.stderr\]")
# schema.py prints it.
JSON_OF_OURS = {
    "{{ __deploy_seen_by.gunicorn_schema.stdout_lines | default(['{}'], true) | last | from_json }}",
}


def masked_by_plan(task: dict[str, Any]) -> Any:
    """What a task gives to a plan that masks it."""
    plan = task.get(PLAN, {})
    return plan.get("given") if plan.get("of") in ("app_command", "app_log", "schema") else None


def calls(node: ast.AST) -> list[ast.Call]:
    return [child for child in ast.walk(node) if isinstance(child, ast.Call)]


def runs(function: ast.FunctionDef, program: str) -> bool:
    """Whether a list of the function begins with the program, but for one that only waits for it."""
    lists = [ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.List)]
    return any(text.startswith(f"[{program!r}") and text != f"[{program!r}, '--sync']" for text in lists)


def tasks(value: Any) -> list[dict[str, Any]]:
    """Everything in the file that has a name and is a task, wherever it stands."""
    if isinstance(value, list):
        return [task for item in value for task in tasks(item)]
    if isinstance(value, dict):
        inner = [task for item in value.values() for task in tasks(item)]
        return [value, *inner] if any(name in value for name in (*COMMANDS, PLAN)) else inner
    return []


def scalars(value: Any) -> list[str]:
    """All texts in the file."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in scalars(item)]
    if isinstance(value, list):
        return [text for item in value for text in scalars(item)]
    return [value] if isinstance(value, str) else []
