"""The files that an app is given: their text, what is wrong with them, and the import check that has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.filter.environment import app_file_list
from ansible_collections.production.fastapi.plugins.module_utils._app.files import file_problems, file_texts
from ansible_collections.production.fastapi.plugins.module_utils._host import masking
from ansible_collections.production.fastapi.plugins.plugin_utils.printed import masked
from conftest import Render
from test_release_build import MAIN, prepare, source, this_python

__all__ = ["source", "this_python"]

KEY = '-----BEGIN KEY-----\npl4nted {{ "no template" }} {% %}\n-----END KEY-----\n'


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (KEY, KEY),
        ("no line break", "no line break"),
        ("", ""),
        ("\n\n", "\n\n"),
        ({"a": [1, None]}, '{\n  "a": [\n    1,\n    null\n  ]\n}\n'),
        (["a"], '[\n  "a"\n]\n'),
        (80, "80"),
        (True, "true"),
    ],
    ids=repr,
)
def test_a_file_is_written_as_it_is(content: Any, text: str) -> None:
    (item,) = app_file_list({"service-account.json": content})
    assert item == {"name": "service-account.json", "content": text}


@pytest.mark.parametrize("name", ["service-account.json", ".netrc", "key.pem", "..a", "A_b-1"])
def test_names_with_dots_are_good(name: str) -> None:
    assert file_problems({name: "x"}) == []


def test_the_files_are_the_group_s_and_no_diff_shows_them(gunicorn_files: list[dict[str, Any]]) -> None:
    (entry,) = [entry for entry in gunicorn_files if entry["dest"] == "/etc/shop/files/{name}"]
    assert entry["each_content"] == "content"
    assert (entry["mode"], entry["group"], entry["secret"]) == ("0640", "shop", True)
    assert entry["each"] == [{"name": "key.pem", "content": KEY}]


@pytest.fixture
def gunicorn_files() -> list[dict[str, Any]]:
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar
    from conftest import role_variables

    values = {
        **role_variables("gunicorn"),
        "app_name": "shop",
        "app_files": {"key.pem": KEY},
        "__fastapi_host": {"packages": {}},
        "role_path": "/role",
    }
    entries: list[dict[str, Any]] = []
    templar = Templar(loader=DataLoader(), variables=values)
    for entry in values["__gunicorn_files"]:
        if "/files/" in str(entry["dest"]):
            entries.append(templar.template(entry))
    return entries


@pytest.mark.parametrize("template", ["app@.service.j2", "process@.service.j2"])
def test_a_process_records_the_files_that_it_was_started_from(render: Render, template: str) -> None:
    item = {"unit": "mailer-1", "command": "python -m shop.mailer", "stop_timeout": 300}
    variables = {"app_name": "shop", "__gunicorn_entry": item, "__fastapi_host": {}}
    started = [
        line
        for line in render("gunicorn", template, {**variables, "app_files": {"b.pem": "", "a.json": ""}}).splitlines()
        if line.startswith("ExecStartPre=+/etc/shop/record") and ".started " in line
    ]
    assert [line.endswith("@.service /etc/shop/files/a.json /etc/shop/files/b.pem") for line in started] == [True]
    assert "/etc/shop/files" not in render("gunicorn", template, variables)


def test_the_import_has_the_files_and_nothing_of_them_stays(source: Path, tmp_path: Path) -> None:
    read = "import json, os\nplace = os.environ['PRODUCTION_FASTAPI_FILES']\n"
    read += "assert json.load(open(f'{place}/account.json'))['key'][::-1] == 'detn4lp'\n"
    read += f"open('{tmp_path}/place', 'w').write(place)\n"
    (source / "main.py").write_text(read + MAIN)
    release, upload = prepare(source, files=file_texts({"account.json": {"key": "pl4nted"}}))
    release.build(upload)
    assert not Path((tmp_path / "place").read_text()).exists()
    assert not any(b"pl4nted" in path.read_bytes() for path in release.path.rglob("*") if path.is_file())


def test_the_files_are_no_part_of_the_name(source: Path) -> None:
    assert prepare(source, files={"a": "b"})[0].path == prepare(source)[0].path


def test_what_they_say_is_masked_in_logs(tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "shop" / "files"
    folder.mkdir(parents=True)
    (folder / "account.json").write_text(json.dumps({"private_key": "pl4nted"}))
    (folder / "key.pem").write_text("-----BEGIN KEY-----\nother-pl4nted\n")
    shown = masking.mask("key pl4nted, line other-pl4nted", masking.secrets_on_host(tmp_path, "shop"))
    assert shown == "key ********, line ********"
    assert masked("key pl4nted", {}, {"account.json": {"private_key": "pl4nted"}}) == "key ********"
