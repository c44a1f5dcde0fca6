"""No app takes a name that a host has: all users, groups, units and folders of both Debians go through the check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._server.host import read_names
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.names import (
    app_name_problems,
    background_name_problems,
    service_name_problems,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import name as valid_name

NAMES = Path(__file__).resolve().parents[2] / "fixtures" / "names"
IMAGES = ["debian12", "debian12-ready", "debian13", "debian13-ready"]
MAILER = {"name": "mailer", "command": "python -m shop.mailer", "count": 2}
CLEANUP = {"name": "cleanup", "command": "python -m shop.cleanup", "schedule": "daily"}


def names_of(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((NAMES / f"{image}.json").read_text(encoding="utf-8"))
    return found


def taken_names(host: dict[str, Any], name: Any) -> list[str]:
    return list(app_name_problems(host, name))


def app_names(host: dict[str, Any]) -> set[str]:
    """All names of a host that an app could have, were they free."""
    units = {unit.split(".")[0].split("@")[0] for unit in host["units"]}
    found = {*host["users"], *host["groups"], *units, *(name for names in host["folders"].values() for name in names)}
    return {name for name in found if valid_name(name)}


def test_each_name_of_an_ubuntu_server_is_refused_there() -> None:
    """Its names are expected, of a server with the default packages: no image of it has been read."""
    host = names_of("ubuntu2404")
    names = app_names(host)
    assert {"ubuntu", "lxd", "landscape", "pollinate", "snapd", "ufw", "netplan", "admin"} <= names
    assert [name for name in names if len(taken_names(host, name)) != 1] == []


@pytest.mark.parametrize("image", IMAGES)
def test_each_name_of_a_debian_is_refused_there(image: str) -> None:
    host = names_of(image)
    assert len(app_names(host)) > 200
    assert [name for name in app_names(host) if len(taken_names(host, name)) != 1] == []


@pytest.mark.parametrize("image", ["debian12", "debian13"])
def test_each_name_that_our_packages_bring_is_refused_before_they_are_installed(image: str) -> None:
    bare = names_of(image)
    brought = app_names(names_of(f"{image}-ready")) - app_names(bare)
    assert {"nginx", "redis", "certbot"} <= brought
    assert [name for name in brought if len(taken_names(bare, name)) != 1] == []


@pytest.mark.parametrize("image", [*IMAGES, "ubuntu2404"])
@pytest.mark.parametrize("name", ["shop", "api", "web", "blog", "users-app", "mail-2", "a"])
def test_a_name_that_nobody_has_is_free(image: str, name: str) -> None:
    assert taken_names(names_of(image), name) == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "users",
            "app_name: users is taken on this host by the group users, which this collection has not made; use "
            "another, such as users-app.",
        ),
        (
            "news",
            "app_name: news is taken on this host by the user news and the group news, which this collection has not "
            "made; use another, such as news-app.",
        ),
        ("user", "app_name: user is a name of the system; use another, such as user-app."),
    ],
)
def test_the_sentence_says_what_has_the_name(name: str, sentence: str) -> None:
    assert taken_names(names_of("debian13"), name) == [sentence]


@pytest.mark.parametrize(
    "host",
    [
        {"units": ["shop@.service"]},
        {"units": ["shop.service"]},
        {"units": ["shop.timer"]},
        {"units": ["shop.cleanup.timer"]},
        {"units": ["shop-standby.service"]},
        {"folders": {"/srv": ["shop"]}},
        {"folders": {"/etc": ["shop"]}},
        {"users": ["shop"]},
        {"groups": ["shop"]},
    ],
    ids=str,
)
def test_a_name_is_taken_unless_it_is_ours(host: dict[str, Any]) -> None:
    assert len(taken_names(host, "shop")) == 1
    assert taken_names(host, "shops") == taken_names(host, "sho") == []
    assert taken_names(host | {"managed": {"gunicorn-shop": []}}, "shop") == []
    # A first run that has ended before there was a configuration.
    assert taken_names(host | {"users": ["shop", "shop_"]}, "shop") == []
    # The data of one that was removed.
    assert taken_names(host | {"left": {"shop": "2026-11-23"}}, "shop") == []
    assert len(taken_names(host | {"managed": {"gunicorn-shops": []}}, "shop")) == 1


def test_much_of_one_name_is_told_in_a_few_words() -> None:
    host = {"units": [f"shop{ending}" for ending in (".service", ".socket", ".timer", ".path", "@.service", ".target")]}
    (sentence,) = taken_names(host, "shop")
    assert (
        "the unit shop.service, the unit shop.socket, the unit shop.timer, the unit shop.path and 2 more, " in sentence
    )


def test_a_long_name_gets_one_that_is_short_enough() -> None:
    host = {"users": ["a" * 31]}
    (sentence,) = taken_names(host, "a" * 31)
    assert f"such as {'a' * 27}-app." in sentence


def test_an_app_that_is_on_the_host_already_has_its_own_account_and_folders() -> None:
    host = {"users": ["legacy"], "groups": ["legacy"], "folders": {"/srv": ["legacy"], "/run": ["legacy"]}}
    assert list(service_name_problems(host, "legacy")) == []
    (sentence,) = service_name_problems(host | {"units": ["legacy.service"]}, "legacy")
    assert sentence.startswith("gunicorn_name: legacy is taken on this host by the unit legacy.service, ")
    assert len(list(service_name_problems(host, "nginx"))) == 1


@pytest.mark.parametrize(
    ("unit", "sentence"),
    [
        ("shop.mailer-2@.service", "app_processes: mailer is taken on this host by the unit shop.mailer-2@.service, "),
        ("shop.cleanup.service", "app_jobs: cleanup is taken on this host by the unit shop.cleanup.service, "),
        ("shop.cleanup.timer", "app_jobs: cleanup is taken on this host by the unit shop.cleanup.timer, "),
    ],
)
def test_processes_and_jobs_do_not_replace_a_unit_that_somebody_has_made(unit: str, sentence: str) -> None:
    host = {"units": [unit], "managed": {"gunicorn-shop": ["shop.socket"]}}
    (found,) = background_name_problems(host, "shop", [MAILER], [CLEANUP])
    assert found.startswith(sentence)
    ours = host | {"managed": {"gunicorn-shop": ["shop.socket", unit]}}
    assert list(background_name_problems(ours, "shop", [MAILER], [CLEANUP])) == []


@pytest.mark.parametrize("name", ["My App", None, 5, ["shop"]])
def test_what_is_no_name_is_told_elsewhere(name: Any) -> None:
    assert taken_names(names_of("debian13"), name) == []
    assert list(service_name_problems(names_of("debian13"), name)) == []
    assert list(background_name_problems(names_of("debian13"), name, "x", [])) == []


def test_the_names_of_a_host_are_read(tmp_path: Path) -> None:
    manifest = '{"files": {"/etc/systemd/system/shop.socket": {}, "/etc/shop/environment": {}}}'
    files = {
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "etc/group": "users:x:100:\n",
        "etc/systemd/system/own.service": "",
        "etc/systemd/system/own.service.d/x.conf": "",
        "run/systemd/generator.late/old.service": "",
        "usr/lib/systemd/system/user@.service": "",
        "srv/site/index.html": "",
        "var/lib/production.fastapi/gunicorn-shop.json": manifest,
        "var/lib/production.fastapi/nginx.json": "damaged",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert read_names(tmp_path) == {
        "users": ["root"],
        "groups": ["users"],
        "units": ["old.service", "own.service", "user@.service"],
        "folders": {"/etc": ["group", "passwd", "systemd"], "/run": ["systemd"], "/srv": ["site"]},
        "managed": {"gunicorn-shop": ["shop.socket"], "nginx": []},
    }
