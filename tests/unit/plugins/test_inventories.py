"""Two inventories on one server: how an inventory is called, and what of another one stays."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.utils.context_objects import CLIArgs
from ansible_collections.production.fastapi.plugins.plugin_utils import inventory_name as module
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.inventories import (
    foreign_site_problems,
    other_sites,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx import files_of_sites, remembered

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        (["/home/anna/inventories/production/hosts.yml"], "production"),
        (["inventories/production"], "production"),
        (["inventories/production/"], "production"),
        (["/srv/ansible/production.ini"], "production"),
        (["/etc/ansible/hosts"], "ansible"),
        # As Molecule calls it, and as its tests do.
        (["/root/.ansible/tmp/molecule.a1b2.default/inventory"], "molecule.a1b2.default"),
        (["/root/.ansible/tmp/molecule.a1b2.default/inventory/ansible_inventory.yml"], "molecule.a1b2.default"),
        (["my"], "my"),
        (["web1.example.com,web2.example.com,"], "web1.example.com"),
        (["a/hosts", "b.yml", "a/main.yml"], "a+b"),
        (["/srv/our shop/hosts.yml"], "our-shop"),
        (["hosts"], "inventory"),
        ([], ""),
    ],
)
def test_an_inventory_is_called_as_people_call_it(sources, name):
    assert module.name_of_sources(sources) == name


def test_the_variable_says_better(monkeypatch):
    monkeypatch.setattr(module.context, "CLIARGS", CLIArgs({"inventory": ("staging",)}))
    assert module.inventory_name({}) == "staging"
    assert module.inventory_name({"fastapi_inventory": "team-a"}) == "team-a"


def site(name: str, *domains: str, inventory: str = "") -> dict[str, Any]:
    return {"name": name, "domains": list(domains or [f"{name}.example.com"]), "inventory": inventory}


KNOWN = {
    "shop": site("shop", inventory="mine"),
    "blog": site("blog", "blog.example.com", "b.example.com", inventory="theirs"),
    "old": site("old"),
}


def test_the_site_of_another_inventory_stays():
    assert [each["name"] for each in other_sites(KNOWN, "mine", [site("shop")])] == ["blog"]
    assert [each["name"] for each in other_sites(KNOWN, "theirs", [])] == ["shop"]


def test_without_a_name_all_sites_are_ours_as_before():
    assert other_sites(KNOWN, "", []) == []


def test_the_same_site_is_ours_when_its_inventory_has_moved():
    moved = [site("blog", "b.example.com", "new.example.com")]
    assert list(foreign_site_problems(moved, KNOWN, "mine")) == []
    assert other_sites(KNOWN, "mine", moved) == []


@pytest.mark.parametrize(
    ("ours", "sentence"),
    [
        (
            site("blog", "news.example.com"),
            "Site blog: this server has a site blog for blog.example.com, b.example.com from the inventory theirs; use "
            "another app_name, or remove that one with its inventory.",
        ),
        (
            site("news", "B.example.com"),
            "Site news: this server has b.example.com in the site blog from the inventory theirs; remove it from one "
            "of the two.",
        ),
    ],
)
def test_a_site_that_is_in_the_way_of_another_is_refused(ours, sentence):
    assert list(foreign_site_problems([ours], KNOWN, "mine")) == [sentence]


def test_sites_are_remembered_with_their_inventory():
    kept = remembered([{"name": "shop"}], "mine", [KNOWN["blog"]])
    assert [(each["name"], each["inventory"]) for each in kept] == [("blog", "theirs"), ("shop", "mine")]


def test_the_files_of_a_site_are_named():
    patterns = files_of_sites([KNOWN["blog"]])
    for path in (
        "/etc/nginx/sites/blog.conf",
        "/etc/nginx/upstreams/blog.pem",
        "/etc/ssl/sites/blog/given/privkey.pem",
    ):
        assert any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
    for path in ("/etc/nginx/sites/shop.conf", "/etc/nginx/nginx.conf", "/etc/ssl/sites/certificates.json"):
        assert not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
    assert files_of_sites([]) == []


def test_each_file_of_a_site_is_left_where_the_site_is_that_of_another_inventory():
    files = yaml.safe_load((REPOSITORY / "roles/nginx/vars/main.yml").read_text(encoding="utf-8"))["__nginx_files"]
    # These two are the host's.
    named = [file["dest"] for file in files if "{name}" in file["dest"] and "'name': 'd" not in str(file["each"])]
    kept = files_of_sites([KNOWN["blog"]])
    assert len(named) >= 5
    assert [dest for dest in named if not any(fnmatch.fnmatch(dest.format(name="blog"), each) for each in kept)] == []
