"""What the controller does: it refuses bad options with a sentence, renders, and sends everything at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar, trust_as_template
from ansible_collections.production.fastapi.plugins.action.config_tree import ActionModule
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.digest import digest_of
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import (
    ConfigFile,
    decode,
    with_generation,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.run_key import KEY

Send = Callable[..., tuple[list[ConfigFile], dict[str, Any]]]
TEXT = {"dest": "/etc/a", "content": "text\n"}


class Shell:
    tmpdir = None


class Connection:
    """Nothing may be asked of the host, so it can do nothing."""

    _shell = Shell()


@pytest.fixture
def send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Runs the action in a folder with templates and files; returns what would be sent to the host."""
    for path, text in {
        "templates/site.j2": "server {{ item.name }} {{ port }};\n",
        "templates/unit.j2": "{{ app_name }} {{ __unit.name }}\n",
        "templates/bad.j2": "{{ no_such_variable }}\n",
        "files/logo.png": "\udc89PNG @GENERATION@",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(text.encode(errors="surrogateescape"))

    def run(**options: Any) -> tuple[list[ConfigFile], dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        def execute(_action: ActionModule, _name: str, module_args: dict[str, Any], **_: Any) -> dict[str, Any]:
            sent.append(module_args)
            return {"changed": True}

        monkeypatch.setattr(ActionModule, "_execute_module", execute)
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        task = Task.load({"production.fastapi.config_tree": {"name": "demo", **options}})
        variables = {"port": 80, "item": "shop", "app_name": trust_as_template("{{ item }}")}
        action = ActionModule(task, Connection(), None, loader, Templar(loader, variables), None)
        assert action.run(task_vars=variables)["changed"]
        (arguments,) = sent
        return decode(arguments["payload"]), arguments

    return run


def test_one_file_per_element_rendered_with_its_item(send: Send) -> None:
    sites = [{"name": "shop"}, {"name": "blog"}]
    files, _ = send(files=[{"dest": "/etc/sites/{name}.conf", "template": "site.j2", "each": sites, "mode": "0600"}])
    assert files == [
        ConfigFile("/etc/sites/shop.conf", b"server shop 80;\n", mode=0o600),
        ConfigFile("/etc/sites/blog.conf", b"server blog 80;\n", mode=0o600),
    ]


def test_an_element_may_have_the_text_itself(send: Send) -> None:
    keys = [{"name": "a.pem", "text": "no {{ template }} @GENERATION@"}]
    entry = {"dest": "/etc/{name}", "each_content": "text", "each": keys, "mode": "0640"}
    ((file,), _arguments), ((again,), _same) = send(files=[entry]), send(files=[entry], loop_var="__key")
    assert file == again
    assert file == ConfigFile("/etc/a.pem", b"no {{ template }} @GENERATION@", mode=0o640, rendered=False)


def test_an_element_does_not_hide_the_item_of_a_loop_around_the_role(send: Send) -> None:
    files, arguments = send(
        files=[{"dest": "/etc/{name}", "template": "unit.j2", "each": [{"name": "mailer"}]}], loop_var="__unit"
    )
    assert files == [ConfigFile("/etc/mailer", b"shop mailer\n")]
    assert "loop_var" not in arguments


def test_no_element_is_no_file(send: Send) -> None:
    assert send(files=[{"dest": "/etc/sites/{name}.conf", "template": "site.j2", "each": []}])[0] == []


def test_files_are_copied_byte_by_byte(send: Send) -> None:
    (file,) = send(files=[{"dest": "/srv/logo.png", "src": "logo.png"}])[0]
    assert file.content == b"\x89PNG @GENERATION@"
    assert not file.rendered


def test_contents_travel_only_in_the_argument_that_is_never_logged(send: Send) -> None:
    _, arguments = send(files=[TEXT | {"content": "PASSWORD=x\n", "secret": True}], apply=["true"])
    payload = arguments.pop("payload")
    assert arguments == {"name": "demo", "apply": ["true"]}
    assert "PASSWORD" not in payload


def test_a_host_that_has_the_files_is_not_asked(send: Send) -> None:
    files, _arguments = send(files=[TEXT])
    generation, written = with_generation(files)
    digest = digest_of(written, generation, "", KEY)
    assert send(files=[TEXT], digest="0" * 64)[0] == files
    with pytest.raises(AssertionError):  # nothing has changed
        send(files=[TEXT], digest=digest)
    assert send(files=[TEXT | {"mode": "0600"}], digest=digest)[0]
    assert send(files=[TEXT], inventory="staging", digest=digest)[0]


def test_absent_sends_no_files(send: Send) -> None:
    assert send(state="absent", files=[TEXT])[0] == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "../x"}, r"name: '../x' must be lower-case letters"),
        ({"files": "text"}, r"files must be a list"),
        ({"files": ["text"]}, r"files, entry 1 is not a dictionary"),
        ({"files": [TEXT, TEXT | {"tmplate": "x"}]}, r"files, entry 2: unknown key `tmplate`; known are content, dest"),
        ({"files": [{"dest": "/etc/a"}]}, r"files, entry 1: give exactly one of template, src, content and"),
        ({"files": [TEXT | {"src": "x"}]}, r"files, entry 1: give exactly one of"),
        (
            {"files": [{"dest": "/etc/{n}", "each_content": "text", "each": [{"n": "a"}]}]},
            "files, entry 1: each has no element with a text under the key `text`",
        ),
        ({"files": [TEXT | {"content": {"a": 1}}]}, r"files, entry 1: content is not text"),
        ({"files": [TEXT | {"mode": 420}]}, r"files, entry 1: mode 420 is not a quoted octal number"),
        ({"files": [TEXT | {"mode": "u=rw"}]}, r"files, entry 1: mode 'u=rw' is not a quoted octal"),
        ({"files": [TEXT | {"secret": "perhaps"}]}, r"files, entry 1: secret must be true or false, not 'perhaps'"),
        ({"files": [TEXT | {"each": ["a"]}]}, r"files, entry 1: each must be a list of dictionaries"),
        (
            {"files": [TEXT | {"dest": "/etc/{name}", "each": [{"nam": 1}]}]},
            r"entry 1: dest /etc/\{name\} has \{name\}",
        ),
        ({"files": [TEXT | {"dest": "/etc/{name}"}]}, r"entry 1: dest /etc/\{name\} has \{name\}"),
        ({"files": [TEXT | {"dest": "/etc/{n}", "each": [{"n": "../shadow"}]}]}, r"'/etc/../shadow' is not a plain"),
        ({"files": [TEXT | {"dest": "etc/a"}]}, r"dest 'etc/a' is not a plain absolute path"),
        ({"files": [TEXT | {"dest": "/etc//a"}]}, r"dest '/etc//a' is not a plain absolute path"),
        ({"files": [TEXT | {"dest": "/etc/a/"}]}, r"dest '/etc/a/' is not a plain absolute path"),
        ({"files": [TEXT | {"dest": "//etc/a"}]}, r"dest '//etc/a' is not a plain absolute path"),
        ({"files": [TEXT | {"dest": "/etc/a\nb"}]}, r"is not a plain absolute path"),
        ({"files": [TEXT | {"dest": "/"}]}, r"dest '/' is not a plain absolute path"),
        ({"files": [{"content": "x"}]}, r"dest '' is not a plain absolute path"),
        ({"files": [TEXT, TEXT]}, r"dest /etc/a appears twice"),
        ({"files": [TEXT, TEXT | {"dest": "/etc/a/b"}]}, r"/etc/a cannot be a file and the folder of /etc/a/b at once"),
        ({"files": [{"dest": "/etc/a", "template": "bad.j2"}]}, r"bad\.j2 cannot be rendered: .*'no_such_variable'"),
        ({"files": [{"dest": "/etc/a", "template": "none.j2"}]}, r"files, entry 1: .*none\.j2"),
        ({"validate": "nginx -t"}, r"validate must be a list"),
        ({"validate": ["true", ""]}, r"validate, entry 2 is empty"),
        ({"apply": ["echo 'a"]}, r"apply, entry 1: No closing quotation"),
        ({"verify": [{"cmd": "true"}]}, r"verify, entry 1: unknown key `cmd`; use command, hint and requires"),
        ({"stage_with": ["etc"]}, r"stage_with: etc is not an absolute path"),
        ({"verify_timeout": 0}, r"verify_timeout: 0 is not a number of seconds above 0"),
        ({"command_timeout": "soon"}, r"command_timeout: 'soon' is not a number of seconds"),
    ],
)
def test_bad_options_are_refused_before_the_host_is_asked(send: Send, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AnsibleActionFail, match=sentence):
        send(**options)


def test_a_payload_is_smaller_than_its_text(send: Send) -> None:
    text = "".join(f"server_name shop-{number}.example.com;\n" for number in range(1000))
    _, arguments = send(files=[TEXT | {"content": text}])
    assert len(json.dumps(arguments)) < len(text) / 4


def test_templates_see_the_settings_that_were_given(send: Send) -> None:
    site = {"dest": "/etc/a", "template": "site.j2", "each": [{"name": "shop"}]}
    (file,), arguments = send(files=[site], settings={"port": 8080})
    assert (file.content, "settings" in arguments) == (b"server shop 8080;\n", False)
    with pytest.raises(AnsibleActionFail, match="settings must be a dictionary, as `preflight` returns it"):
        send(files=[site], settings="port=8080")
