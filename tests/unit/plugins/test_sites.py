"""The sites of a load balancer, derived from inventories that are plain dictionaries here."""

import base64
import hashlib

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.sites import site_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.sites import password_files, sites, static_folders

SAMPLE_STATIC = [{"url": "/static/", "folder": "/srv/shop/public/current/shop/static"}]


def derive(hostvars, load_balancer="lb", members=None, balancers=("lb",)):
    groups = {
        "app_servers": [host for host in hostvars if host != "lb"] if members is None else members,
        "load_balancers": list(balancers),
    }
    return sites(groups, {"lb": {"ansible_host": "203.0.113.1"}, **hostvars}, load_balancer)


def test_one_host_in_both_groups_is_reached_by_its_socket():
    hostvars = {"web1": {"ansible_host": "203.0.113.10", "app_name": "shop", "app_domains": ["shop.example.com"]}}
    assert derive(hostvars, "web1", balancers=["web1"]) == [
        {
            "name": "shop",
            "domains": ["shop.example.com"],
            "servers": ["unix:/run/shop/http.sock"],
            "static": SAMPLE_STATIC,
        }
    ]


def test_two_apps_on_one_server_are_two_sites():
    both = {"ansible_host": "203.0.113.1"}
    found = derive({"shop": {**both, "app_name": "shop"}, "blog": {**both, "app_name": "blog"}})
    assert [(site["name"], site["servers"]) for site in found] == [
        ("shop", ["unix:/run/shop/http.sock"]),
        ("blog", ["unix:/run/blog/http.sock"]),
    ]


def test_servers_with_tls_say_what_they_show():
    members = {
        name: {"gunicorn_bind": f"10.0.0.{n}:8000", "gunicorn_tls_certificate": "/tls/app.pem"}
        for n, name in enumerate(("app1", "app2"), start=1)
    }
    assert derive(members)[0]["upstream_certificate"] == "/tls/app.pem"
    members["app2"]["gunicorn_tls_certificate"] = ""
    with pytest.raises(AnsibleFilterError, match="gunicorn_tls_certificate of app2 differs from"):
        derive(members)


def test_an_app_without_a_name_is_called_app():
    assert derive({"lb": {}}, members=["lb"])[0]["servers"] == ["unix:/run/app/http.sock"]


@pytest.mark.parametrize("no", [False, "false", "no"])
def test_an_app_that_is_not_public_has_no_site(no):
    both = {"ansible_host": "203.0.113.1"}
    payments = {**both, "app_name": "payments", "app_public": no, "gunicorn_bind": "127.0.0.1:9000"}
    found = derive({"shop": {**both, "app_name": "shop", "app_public": True}, "payments": payments})
    assert [site["name"] for site in found] == ["shop"]


def test_members_of_an_app_agree_whether_it_is_public():
    same = {"ansible_host": "203.0.113.1"}
    with pytest.raises(AnsibleFilterError, match="app_public of b differs from app_public of a"):
        derive({"a": {**same, "app_public": True}, "b": {**same, "app_public": False}})


def test_several_app_servers_are_one_site_with_their_addresses():
    found = derive({f"app{n}": {"app_name": "shop", "gunicorn_bind": f"10.0.0.{n}:8000"} for n in (1, 2)})
    assert [site["servers"] for site in found] == [["10.0.0.1:8000", "10.0.0.2:8000"]]


@pytest.mark.parametrize(
    ("member", "server"),
    [
        ({"ansible_host": "203.0.113.1", "gunicorn_bind": "unix:/run/other.sock"}, "unix:/run/other.sock"),
        ({"ansible_host": "203.0.113.1", "gunicorn_bind": "127.0.0.1:8000"}, "127.0.0.1:8000"),
        ({"ansible_host": "203.0.113.1", "gunicorn_bind": "0.0.0.0:8000"}, "127.0.0.1:8000"),
        ({"ansible_host": "203.0.113.1", "gunicorn_bind": "[::]:8000"}, "[::1]:8000"),
        ({"ansible_host": "10.0.0.5", "gunicorn_bind": "0.0.0.0:8000"}, "10.0.0.5:8000"),
        ({"ansible_host": "2001:db8::5", "gunicorn_bind": "[::]:8000"}, "[2001:db8::5]:8000"),
        ({"gunicorn_bind": "[2001:db8::5]:8000"}, "[2001:db8::5]:8000"),
        ({"ansible_host": "203.0.113.1", "ansible_port": 2222, "gunicorn_bind": "10.0.0.5:8000"}, "10.0.0.5:8000"),
    ],
)
def test_a_member_is_reached_where_it_listens(member, server):
    assert derive({"app1": member})[0]["servers"] == [server]


def test_a_server_that_provisions_itself_is_one_machine_under_any_name():
    local = {"ansible_connection": "local"}
    assert derive({"lb": local, "shop": local}, members=["shop"])[0]["servers"] == ["unix:/run/app/http.sock"]


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"gunicorn_bind": "unix:/run/app/http.sock"},
        {"gunicorn_bind": "127.0.0.1:8000"},
        {"gunicorn_bind": "app1.internal:8000"},
        {"gunicorn_bind": "10.0.0.5"},
        {"gunicorn_bind": "0.0.0.0:8000"},
        {"gunicorn_bind": "0.0.0.0:8000", "ansible_host": "127.0.0.1"},
        {"ansible_host": "203.0.113.1", "ansible_port": 2222},
    ],
)
def test_a_member_that_cannot_be_reached_is_refused_by_name(member):
    with pytest.raises(AnsibleFilterError, match="set gunicorn_bind of app1 to the address and port"):
        derive({"app1": member})


def test_complete_servers_serve_themselves_and_not_each_other():
    hostvars = {f"web{n}": {"app_name": "shop"} for n in (1, 2)}
    for host in hostvars:
        assert derive(hostvars, host, balancers=hostvars)[0]["servers"] == ["unix:/run/shop/http.sock"]


def test_complete_servers_that_listen_on_addresses_share_the_load():
    hostvars = {f"web{n}": {"gunicorn_bind": f"10.0.0.{n}:8000"} for n in (1, 2)}
    assert derive(hostvars, "web1", balancers=hostvars)[0]["servers"] == ["10.0.0.1:8000", "10.0.0.2:8000"]


def test_a_load_balancer_has_no_site_for_an_app_that_lives_on_another():
    hostvars = {"web1": {"app_name": "shop"}, "web2": {"app_name": "blog"}}
    assert [site["name"] for site in derive(hostvars, "web1", balancers=hostvars)] == ["shop"]


def test_an_inventory_without_app_servers_has_no_sites():
    assert sites({}, {"lb": {}}, "lb") == []


def test_members_that_disagree_are_refused_with_both_names():
    same = {"ansible_host": "203.0.113.1"}
    hostvars = {"a": {**same, "app_domains": ["a.example.com"]}, "b": {**same, "app_domains": ["b.example.com"]}}
    with pytest.raises(AnsibleFilterError, match="app_domains of b differs from app_domains of a"):
        derive(hostvars)


def test_a_single_domain_may_be_written_without_brackets():
    assert derive({"lb": {"app_domains": "shop.example.com"}}, members=["lb"])[0]["domains"] == ["shop.example.com"]


def test_an_app_of_your_own_has_the_static_files_that_it_names():
    own = {"app_name": "shop", "app_source": {"git": "https://example.com/shop.git"}}
    assert derive({"lb": own}, members=["lb"])[0]["static"] == []
    own["app_static"] = [{"url": "/media/", "folder": "media/", "expires": "1h"}]
    expected = [{"url": "/media/", "folder": "/srv/shop/public/current/media", "expires": "1h"}]
    assert derive({"lb": own}, members=["lb"])[0]["static"] == expected


def test_names_that_lead_to_the_first_one_are_the_site_s_too():
    variables = {"app_domains": "example.com", "app_redirect_domains": ["www.example.com"]}
    (site,) = derive({"lb": variables}, members=["lb"])
    assert site["domains"] == ["example.com", "www.example.com"]
    assert site["redirect_domains"] == ["www.example.com"]
    assert site_problems([site]) == []
    assert "redirect_domains" not in derive({"lb": {"app_domains": ["example.com"]}}, members=["lb"])[0]


def test_a_password_is_hashed_and_the_same_in_each_run():
    site = {"name": "shop", "password": "pl4nted"}
    (file,) = password_files([site, {"name": "blog"}])
    name, _colon, hashed = file["content"].rstrip("\n").partition(":{SSHA}")
    raw = base64.b64decode(hashed)
    assert (name, file["name"]) == ("shop", "shop")
    assert raw[:20] == hashlib.sha1(b"pl4nted" + raw[20:], usedforsecurity=False).digest()
    assert len(raw) == 28
    assert password_files([site]) == [file]
    others = password_files([{"name": "blog", "password": "pl4nted"}, {"name": "shop", "password": "other"}])
    assert len({each["content"].partition("}")[2] for each in [file, *others]}) == 3


MEDIA = {"url": "/media/", "shared": "data/uploads/"}


def test_what_the_app_saves_is_served_from_its_shared_folder():
    found = derive({"lb": {"app_name": "shop", "app_static": [MEDIA]}}, members=["lb"])[0]["static"]
    assert found == [
        {
            "url": "/media/",
            "folder": "/srv/shop/shared/data/uploads",
            "untrusted_below": "/srv/shop/shared",
            "expires": "1h",
        }
    ]
    assert static_folders([MEDIA, {"url": "/a/", "folder": "a"}], {}, "shared") == ["data/uploads"]
    assert static_folders([MEDIA, {"url": "/a/", "folder": "a"}], {}) == ["a"]


def test_immutable_files_are_looked_for_in_the_releases_that_are_kept():
    entry = {"url": "/assets/", "folder": "dist/assets", "immutable": True}
    found = derive({"lb": {"app_name": "shop", "app_static": [entry]}}, members=["lb"])[0]["static"]
    assert found[0]["former"] == "/srv/shop/public/kept/dist/assets"
    assert static_folders([entry, {"url": "/a/", "folder": "a"}], {}, "immutable") == ["dist/assets"]


def test_the_entries_may_be_the_text_of_an_ini_inventory():
    text = '[{"url": "/assets/", "folder": "dist/assets", "immutable": true}]'
    found = derive({"lb": {"app_name": "shop", "app_static": text}}, members=["lb"])[0]["static"]
    assert found[0]["former"] == "/srv/shop/public/kept/dist/assets"
    assert static_folders(text, {}, "immutable") == ["dist/assets"]


def test_a_folder_with_a_fallback_is_kept_by_browsers_for_an_hour():
    entry = {"url": "/", "folder": "dist", "fallback": "index.html"}
    found = derive({"lb": {"app_name": "shop", "app_static": [entry]}}, members=["lb"])[0]["static"]
    assert found == [{**entry, "folder": "/srv/shop/public/current/dist", "expires": "1h"}]
    assert site_problems([{**GOOD, "static": found}]) == []


def test_immutable_files_of_other_machines_are_kept_by_the_load_balancer():
    entries = [{"url": "/assets/", "folder": "dist/assets", "immutable": True}, {"url": "/static/", "folder": "static"}]
    own = {"app_name": "shop", "app_static": entries, "gunicorn_bind": "10.0.0.11:8000"}
    away = {"lb": {"ansible_host": "10.0.0.1"}, "a": {**own, "ansible_host": "10.0.0.11"}}
    assert derive(away, members=["a"])[0]["routes"] == [{"path": "/assets/", "immutable": True}]
    away["a"]["app_site"] = {"routes": [{"path": "/assets/", "cache": 5}, {"path": "/ws", "stream": True}]}
    assert derive(away, members=["a"])[0]["routes"] == away["a"]["app_site"]["routes"], "what is written holds"
    away["a"]["app_site"] = {"routes": [{"path": "/ws", "stream": True}]}
    assert [route["path"] for route in derive(away, members=["a"])[0]["routes"]] == ["/assets/", "/ws"]


@pytest.mark.parametrize(
    "entry",
    [
        {"url": "/media/", "shared": "../x"},
        {"url": "/media/", "shared": "/srv"},
        {"url": "/media/", "shared": ""},
        {"url": "/media/", "shared": "a", "folder": "b"},
        {"shared": "a"},
    ],
    ids=str,
)
def test_media_without_a_path_of_the_shared_folder_are_refused(entry):
    with pytest.raises(AnsibleFilterError, match="app_static of the app app needs a url and either a folder or a path"):
        derive({"lb": {"app_static": [entry]}}, members=["lb"])


def test_media_of_several_machines_are_refused():
    member = {"ansible_host": "203.0.113.2", "gunicorn_bind": "203.0.113.2:8000", "app_static": [MEDIA]}
    with pytest.raises(AnsibleFilterError, match="data/uploads/ of shared is on other machines than the load balancer"):
        derive({"app1": member})
    here = {**member, "ansible_host": "203.0.113.1", "gunicorn_bind": "203.0.113.1:8000"}
    with pytest.raises(AnsibleFilterError, match="data/uploads/ of shared is on several machines"):
        derive({"app1": member, "app2": here})


def test_static_files_on_other_machines_are_left_to_the_app():
    member = {"ansible_host": "10.0.0.5", "gunicorn_bind": "10.0.0.5:8000"}
    assert derive({"app1": member})[0]["static"] == []
    assert derive({"app1": member, "app2": {"ansible_host": "203.0.113.1"}})[0]["static"] != []


@pytest.mark.parametrize("entry", [{"url": "/static/"}, {"folder": "static"}, {"url": "/static/", "folder": "/"}])
def test_static_files_without_a_folder_would_publish_the_source(entry):
    with pytest.raises(AnsibleFilterError, match="app_static of the app app needs a url and a folder"):
        derive({"lb": {"app_static": [entry]}}, members=["lb"])


def test_app_site_has_the_last_word():
    site = derive({"lb": {"app_site": {"servers": ["10.0.0.9:1"], "extra_config": "# x"}}}, members=["lb"])[0]
    assert (site["servers"], site["extra_config"]) == (["10.0.0.9:1"], "# x")


GOOD = {
    "name": "shop",
    "domains": ["shop.example.com", "*.example.com", "localhost", "192.0.2.1", "2001:db8::1", "xn--bcher-kva.example"],
    "servers": ["unix:/run/shop/http.sock", "10.0.0.5:8000", "[2001:db8::5]:8000"],
    "static": [{"url": "/static/", "folder": "/srv/www/static", "expires": "max"}],
}


def test_good_sites_have_no_problems():
    assert site_problems([GOOD, {"name": "blog", "domains": ["blog.example.com"], "servers": ["10.0.0.5:1"]}]) == []


@pytest.mark.parametrize(
    "domain",
    ["not a domain", "https://shop.example.com", "shop.example.com:8443", "shop.example.com/", "_", "*", "a..b",
     "-a.example.com",
     "shop.example.com.", "192.0.2.999", "*.*.example.com", "bücher.example", "10", "[2001:db8::1]", "",
     f"{'a' * 64}.example.com", f"{'a.' * 130}com", "a.example.com;", None],
)  # fmt: skip
def test_a_domain_that_is_none_is_refused(domain):
    (problem,) = site_problems([{**GOOD, "domains": [domain]}])
    assert problem.startswith(
        f"Site shop: {str(domain)!r} in its domains (app_domains) is not a domain; write a name such as"
    )


def test_an_address_is_written_as_clients_send_it():
    (problem,) = site_problems([{**GOOD, "domains": ["2001:0db8::0001"]}])
    assert problem == "Site shop: write the address 2001:0db8::0001 in its short form, 2001:db8::1."


@pytest.mark.parametrize(
    "server",
    ["app1:8000", "localhost:8000", "10.0.0.5", "10.0.0.5:0", "10.0.0.5:70000", "2001:db8::5:8000", "unix:run", ""],
)
def test_a_server_that_is_no_address_is_refused(server):
    (problem,) = site_problems([{**GOOD, "servers": [server]}])
    assert problem.startswith(
        f"Site shop: {server!r} in its servers (gunicorn_bind) is not an address; write unix:/run/shop"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "Shop!"}, "its name (app_name) must be lower-case letters"),
        ({"domains": []}, "its domains must be a list with at least one entry, such as [shop.example.com]."),
        ({"domains": "shop.example.com"}, "its domains must be a list with at least one entry"),
        ({"servers": []}, "its servers must be a list with at least one entry"),
        ({"static": [{"url": "static", "folder": "/srv"}]}, "the url 'static' of static files must be a path"),
        ({"static": [{"url": "/a", "folder": "/srv"}]}, "the url '/a' of static files must be a path"),
        ({"static": [{"url": "/a/../b/", "folder": "/srv"}]}, "the url '/a/../b/' of static files"),
        (
            {"static": [{"url": "/a/", "folder": "srv"}]},
            "the folder 'srv' of static files must be a plain absolute path",
        ),
        (
            {"domains": ["a.com"], "redirect_domains": ["www.a.com"]},
            "its redirect_domains have www.a.com, which its domains do not have",
        ),
        (
            {"domains": ["*.a.com", "www.a.com"], "redirect_domains": ["www.a.com"]},
            "www.a.com (app_redirect_domains) needs a domain to lead to; write one first in app_domains",
        ),
        (
            {"domains": ["a.com"], "redirect_domains": ["a.com"]},
            "a.com (app_redirect_domains) needs a domain to lead to",
        ),
        ({"allow": "10.0.0.1"}, "its allow must be a list with at least one address or network"),
        ({"allow": []}, "its allow must be a list with at least one address or network"),
        ({"allow": ["10.0.0.0/8", "office"]}, "its allow has office; write addresses or networks"),
        ({"password": ""}, "its password is empty; write one, or leave it out."),
        (
            {"static": [{"url": "/media/", "folder": "/srv/media/shared/media"}]},
            "Nginx cannot read the folder /srv/media/shared/media; write app_static: [{url: /media/, shared: media}]",
        ),
        ({"static": [{"url": "/a/", "folder": "/srv/../etc"}]}, "the folder '/srv/../etc' of static files"),
        (
            {"static": [{"url": "/a/", "folder": "/srv", "expires": "soon"}]},
            "expires 'soon' is not a time; write one such as 30d",
        ),
        ({"static": [{"url": "/", "folder": "/b"}]}, "the url / of static files needs the page of the front end"),
        (
            {"static": [{"url": "/", "folder": "/b", "fallback": "../index.html"}]},
            "the fallback '../index.html' of / must be a file in its folder, such as index.html.",
        ),
        (
            {"static": [{"url": "/a/", "folder": "/b", "fallback": "x.html", "untrusted_below": "/b"}]},
            "/a/ is what the app saves (shared), so it has no fallback; take that out.",
        ),
        ({"static": [{"url": "/a/", "folder": "/b"}] * 2}, "static has the url /a/ 2 times; keep one."),
    ],
)
def test_each_problem_is_one_sentence_that_names_the_site(change, sentence):
    (problem,) = site_problems([{**GOOD, **change}])
    assert problem.startswith(f"Site {change.get('name', 'shop')}: {sentence}")


def test_two_sites_share_neither_name_nor_domain():
    assert site_problems([GOOD, {**GOOD, "domains": ["a.example.com"]}]) == [
        "nginx_sites has 2 sites named shop; give each its own name."
    ]
    problems = site_problems([GOOD, {**GOOD, "name": "blog", "domains": ["SHOP.example.com"]}])
    assert problems == ["Site blog: the site shop has the domain SHOP.example.com too; remove it from one of the two."]


def test_a_domain_twice_in_one_site_is_no_problem_of_two_sites():
    assert site_problems([{**GOOD, "domains": ["a.example.com", "a.example.com"]}]) == []
