"""Bad input of the role app: one sentence for each, and none for what is right."""

from __future__ import annotations

import re

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.production.fastapi.plugins.module_utils._release import install as release_install
from ansible_collections.production.fastapi.plugins.plugin_utils.app import SAMPLE, folders_of, packages, source_of
from conftest import examined, role_variables

HOST = {"distribution": "debian", "distribution_version": "12", "packages": {"git": "1"}, "users": []}
CHECKSUM = "sha256:" + "0" * 64


def known(tmp_path, **variables):
    where = {"inventory_dir": str(tmp_path), "playbook_dir": str(tmp_path)}
    return {"__fastapi_host": HOST, **where, **variables}


def evaluate(expression, tmp_path, **variables):
    values = {**role_variables("app"), **known(tmp_path, **variables)}
    derived = examined("app", known(tmp_path, **variables)).derived
    templar = Templar(loader=DataLoader(), variables=values | {"__app_checked": {"derived": derived}})
    return templar.template(trust_as_template(f"{{{{ {expression} }}}}"))


@pytest.fixture
def problems(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app.zip").touch()
    return lambda **variables: examined("app", known(tmp_path, **variables)).problems


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"app_source": {"git": "git@git.example.com:shop.git", "version": "main", "subdirectory": "a/b", "key": "/k"}},
        {"app_source": {"folder": "app"}},
        {"app_source": {"archive": "app.zip"}},
        {"app_source": {"archive": "https://example.com/x.zip", "checksum": CHECKSUM}},
        {"app_source": {"package": "shop", "version": "1.2.3"}, "app_entrypoint": "shop.main:app"},
        {"app_source": {"folder": "app", "subdirectory": "..data/a..b"}},
        {"app_python": "3.12"},
        {"app_dependencies": "requirements.txt"},
        {"app_dependencies": "docker/backend/requirements.txt"},
        {"app_ignore_pins": ["gunicorn", "uvicorn-worker"]},
        {"app_entrypoint": "shop.main:create_app()"},
        {"app_uv_version": "0.1.0", "app_uv_hashes": [CHECKSUM]},
        {"app_installer": "uv"},
        {"app_source": {"git": "https://git.example.com/shop.git"}, "version": "v2"},
    ],
    ids=str,
)
def test_good_input_is_no_problem(problems, variables):
    assert problems(**variables) == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"__fastapi_host": HOST | {"python_version": "3.9"}},
            "The host runs debian 12, whose Python is 3.9, and 3.11",
        ),
        (
            {"version": "v2"},
            "version: -e version=v2 is for an app_source of git or a package; change the sample instead.",
        ),
        (
            {"version": "v2", "app_source": {"folder": "app"}},
            "version: -e version=v2 is for an app_source of git or a package; change the folder instead.",
        ),
        (
            {"app_lock_timeout": 600},
            r"app_lock_timeout \(600 s\) must be above app_migrate_timeout \(600 s\) and app_hook_timeout \(120 s\)",
        ),
        ({"app_hook_timeout": 0}, "app_migrate_timeout and app_hook_timeout: use 1 second or more"),
        ({"app_batches": [1, "150%"]}, 'app_batches is .1, "150%".; write numbers of servers from 1, or shares'),
        ({"app_batches": []}, "app_batches is .*; write numbers of servers"),
        ({"app_verify_path": "healthz"}, "app_verify_path: write healthz as a path"),
        ({"app_receipt_rate": 201}, "app_receipt_rate is 201; write 1 to 200 requests a second."),
        (
            {"app_receipt_budget": 101},
            r"app_receipt_budget must be from 0 to 100, .* \(got 101\).",
        ),
        (
            {"app_name": "My App"},
            'app_name "My App" is invalid: use 1 to 31 lower-case letters',
        ),
        ({"app_name": "a" * 32}, 'app_name "a{32}" is invalid'),
        ({"app_name": "root"}, "app_name: root is a name of the system"),
        ({"app_domains": "shop.example.com"}, "app_domains: write a list"),
        ({"app_source": {"git": "x", "folder": "app"}}, "app_source: name one of git, .*: git, folder."),
        ({"app_source": {"path": "x"}}, "app_source: name one of git, .*: path."),
        (
            {"app_source": {"folder": "app", "branch": "x"}},
            "folder does not know branch; it takes folder, include, subdirectory.",
        ),
        (
            {"app_source": {"folder": "missing"}},
            "app_source.folder: the controller has no missing, neither beside the inv",
        ),
        ({"app_source": {"archive": "missing.zip"}}, "app_source.archive: the controller has no missing.zip"),
        ({"app_source": {"archive": "https://x/y.zip"}}, "app_source.checksum: an archive from a URL needs"),
        ({"app_source": {"archive": "app.zip", "checksum": "md5:0"}}, "app_source.checksum: write md5:0 as sha256:"),
        ({"app_source": {"archive": "ftp://x/y.zip", "checksum": CHECKSUM}}, "app_source.archive: use a URL with http"),
        ({"app_source": {"package": "shop"}, "app_entrypoint": "a:b"}, "app_source.version: name the version"),
        (
            {"app_source": {"package": "-e x", "version": "1"}, "app_entrypoint": "a:b"},
            "app_source.package is -e x; write",
        ),
        ({"app_source": {"package": "shop", "version": "1"}}, "app_entrypoint: a package does not say"),
        ({"app_source": {"folder": "app", "subdirectory": "a/../.."}}, "app_source.subdirectory: write a/../.. as"),
        ({"app_source": {"folder": "app", "subdirectory": "/etc"}}, "app_source.subdirectory: write /etc as"),
        ({"app_entrypoint": "a..b:c"}, "app_entrypoint: write a..b:c as module:attribute"),
        ({"app_entrypoint": "shop.main"}, "app_entrypoint: write shop.main as module:attribute"),
        ({"app_uv_version": "0.1.0"}, "app_uv_hashes: 0.1.0 is not the version of uv whose hashes are known here"),
        ({"app_uv_hashes": ["0" * 64]}, "app_uv_hashes: write each as sha256:"),
        ({"app_installer": "pip"}, "app_installer was removed: remove the variable, because uv is the only"),
        ({"app_dependencies": "poetry.lock"}, "app_dependencies: write poetry.lock as auto, uv.lock, pylock.toml"),
        ({"app_dependencies": "/etc/list.txt"}, "app_dependencies: write /etc/list.txt as auto"),
        ({"app_dependencies": "../list.txt"}, "app_dependencies: write ../list.txt as auto"),
        ({"app_ignore_pins": ["fastapi"]}, "app_ignore_pins: fastapi does not serve the app; name some of gunicorn"),
        ({"app_python": "python3"}, "app_python: write python3 as a version"),
        ({"app_request_timeout": 0}, r"app_request_timeout must be at least 1 second \(got 0\)."),
    ],
    ids=str,
)
def test_bad_input_is_one_sentence(problems, variables, sentence):
    found = problems(**variables)
    assert len(found) == 1
    assert re.search(sentence, found[0])
    assert re.fullmatch(r"[^\n]+\.", found[0])
    assert "  " not in found[0]


def test_who_builds_is_nobody_s_app_and_has_a_name_that_fits(tmp_path):
    missing = evaluate("__app_missing_users", tmp_path, app_name="a" * 31)
    assert [user["name"] for user in missing] == ["a" * 31 + "_", "a" * 31]
    assert examined("app", known(tmp_path, app_name="shop_")).problems


def test_the_version_of_uv_whose_hashes_are_known_is_the_default(tmp_path):
    for version in ("", release_install.UV_VERSION):
        assert examined("app", known(tmp_path, app_uv_version=version)).problems == []


def test_a_path_is_looked_for_beside_the_inventory_first(tmp_path):
    for folder in ("inventory", "playbook"):
        (tmp_path / folder / "app").mkdir(parents=True)
    (tmp_path / "playbook" / "other").mkdir()
    where = {"inventory_dir": f"{tmp_path}/inventory", "playbook_dir": f"{tmp_path}/playbook"}
    for name, folder in (("app", "inventory"), ("other", "playbook")):
        source = source_of({"folder": name, "subdirectory": "x"}, folders_of(where))
        assert source == {"folder": f"{tmp_path}/{folder}/{name}", "subdirectory": "x"}


def test_the_sample_is_the_default_source():
    assert source_of({}, ["", ""]) == {"folder": str(SAMPLE)}
    assert (SAMPLE / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({}, {"ca-certificates", "python3-pip-whl"}),
        ({"git": "https://x/y.git"}, {"ca-certificates", "python3-pip-whl", "git"}),
        ({"git": "git@x:y.git"}, {"ca-certificates", "python3-pip-whl", "git", "openssh-client"}),
        ({"git": "https://x/y.git", "key": "/k"}, {"ca-certificates", "python3-pip-whl", "git", "openssh-client"}),
    ],
)
def test_only_the_packages_that_the_source_needs(tmp_path, source, wanted):
    settings = {"app_source": source, "app_packages": [], "app_build": [], "app_build_packages": ["npm"]}
    assert set(packages(settings)) == wanted
    assert set(packages({**settings, "app_build": ["npm ci"]})) == {*wanted, "npm"}
    assert "git" not in evaluate("__app_missing_packages", tmp_path, app_source=source)


def test_another_version_of_a_source_is_named_on_the_command_line():
    source = {"git": "https://git.example.com/shop.git", "version": "v1"}
    assert source_of(source, []) == source
    assert source_of(source, [], "v2") == source | {"version": "v2"}


def test_whatever_pin_is_refused_can_be_ignored(problems):
    """The refusal says so of each package that has a supported range."""
    serving = [re.match(r"[\w-]+", line)[0] for line in role_variables("app")["__app_stack_requirements"]]
    assert problems(app_ignore_pins=[*serving, "typing-extensions"]) == []


def test_what_is_asked_through_nginx_is_the_readiness_path_where_there_is_one(tmp_path):
    assert evaluate("app_verify_path", tmp_path) == "/healthz"
    assert evaluate("app_verify_path", tmp_path, gunicorn_readiness_path="/ready") == "/ready"


CLUSTER = {"groups": {"app_servers": ["one", "two"], "load_balancers": ["lb"]}, "app_name": "shop"}
SERVERS = {"one": {"app_name": "shop"}, "two": {"app_name": "shop"}}
CANARY = {"app_canary_time": 60, "app_domains": ["shop.example.com"], **CLUSTER, "hostvars": {**SERVERS, "lb": {}}}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"app_canary_time": 5}, "app_canary_time is 5; write 10 to 3600 seconds, or 0 for no canary."),
        ({"app_canary_max_slowdown": 0.5}, r"app_canary_max_slowdown must be at least 1 \(got 0.5\)."),
        ({"app_canary_max_errors": 101}, "app_canary_max_errors must be from 0 to 100"),
        ({"app_canary_min_requests": 0}, r"app_canary_min_requests must be at least 1 \(got 0\)."),
        ({"app_receipt": "no"}, "a canary needs app_receipt: true and app_domains"),
        ({"hostvars": {**SERVERS, "lb": {"nginx_access_log": "off"}}}, "set nginx_access_log to json on lb."),
        ({"app_batches": ["100%"]}, "shop has no server beside the first batch of app_batches to compare a canary"),
    ],
    ids=str,
)
def test_a_canary_is_refused_where_it_could_not_be_judged(tmp_path, variables, sentence):
    assert examined("app", known(tmp_path, **CANARY)).problems == []
    (problem,) = examined("app", known(tmp_path, **{**CANARY, **variables})).problems
    assert re.search(sentence, problem)


def test_settings_of_an_ini_inventory_are_what_they_mean_and_secrets_are_not_among_them(tmp_path):
    given = {"app_batches": "1, 50%", "app_receipt": "off", "app_before_switch": "a, b", "app_request_timeout": "30"}
    secret = {"app_index_url": "https://bot:s3cr3t@index.example.com/simple"}
    settings = examined("app", known(tmp_path, **given, **secret)).settings
    assert [settings[name] for name in given] == [["1", "50%"], False, ["a", "b"], 30]
    assert "s3cr3t" not in str(settings)


@pytest.mark.parametrize("static", ["/static/", [["/static/"]], "{a}", {"url": "/static/"}])
def test_static_files_that_are_no_list_of_entries_are_refused(problems, static):
    assert problems(app_static=static) == [
        "app_static has to be a list of entries, such as [{url: /static/, folder: shop/static}]; in an INI inventory "
        'write it as JSON, [{"url": "/static/", "folder": "shop/static"}].'
    ]


def test_static_files_without_a_folder_are_refused(problems):
    assert [sentence.partition(" in every")[0] for sentence in problems(app_static='[{"url": "/static/"}]')] == [
        "app_static of the app app needs a url and a folder"
    ]
