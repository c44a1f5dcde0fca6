"""The files of the role nginx, rendered without a host, with the corner cases of its variables."""

import re

import pytest

FILES = (
    "cache.conf",
    "errors.conf",
    "headers.conf",
    "logs.conf",
    "maps.conf",
    "proxy.conf",
    "site-certificates.timer",
    "timers.target.conf",
)
TEMPLATES = ("main", "http", "server", *(f"snippets/{name}" for name in ("challenges", "clients", "limits", "tls")))
OUTSIDE = ("main.conf.j2", "http.conf.j2", "server.conf.j2", "maps.conf")
DEBIAN_12 = {
    "distribution": "debian",
    "distribution_version": "12",
    "packages": {"nginx": "1.22.1-9+deb12u11", "libssl3": "3.0.22-1~deb12u2"},
    "candidates": {},
}
DEBIAN_13 = {
    "distribution": "debian",
    "distribution_version": "13",
    "packages": {"nginx": "1.26.3-3+deb13u11", "libssl3t64": "3.5.7-1~deb13u3"},
    "candidates": {},
}
UBUNTU_24 = {
    "distribution": "ubuntu",
    "distribution_version": "24.04",
    "packages": {"nginx": "1.24.0-2ubuntu7.5", "libssl3t64": "3.0.13-0ubuntu3.6"},
    "candidates": {},
}
UBUNTU_26 = {
    "distribution": "ubuntu",
    "distribution_version": "26.04",
    "packages": {"nginx": "1.28.2-2ubuntu1", "libssl3t64": "3.5.5-1ubuntu3"},
    "candidates": {},
}
SHOP = {
    "name": "shop",
    "domains": ["shop.example.com", "www.shop.example.com"],
    "servers": ["unix:/run/shop/http.sock"],
    "static": [{"url": "/static/", "folder": "/srv/shop/current/src/shop/static"}],
}
BLOG = {"name": "blog", "domains": ["*.blog.example.com"], "servers": ["10.0.0.5:8000", "10.0.0.6:8000"]}


@pytest.fixture
def main(render):
    """What is written outside of the sites."""

    def text(**variables):
        values = {"__fastapi_host": DEBIAN_13, "nginx_sites": [SHOP], **variables}
        return "".join(render("nginx", name, values) for name in OUTSIDE)

    return text


@pytest.fixture
def site(render):
    def site_conf(item, **variables):
        values = {"__fastapi_host": DEBIAN_13, "nginx_sites": [item], "item": item, **variables}
        return render("nginx", "site.conf.j2", values)

    return site_conf


def directives(text, name):
    """The values of a directive, in order."""
    return re.findall(rf"^\s*{name}\s+([^;]*);", text, re.MULTILINE)


def block(text, opening):
    """The body of the first block that begins with this line."""
    match = re.search(rf"^( *){re.escape(opening)} {{\n(.*?)^\1}}", text, re.MULTILINE | re.DOTALL)
    assert match, f"no block {opening} in\n{text}"
    return match[2]


def test_every_file_begins_with_its_author_and_the_variable_to_change(render, site):
    values = {"__fastapi_host": DEBIAN_13, "nginx_sites": [SHOP]}
    names = [*(f"{name}.conf.j2" for name in TEMPLATES), *FILES]
    for text in [*(render("nginx", name, values) for name in names), site(SHOP)]:
        assert "ritten by the role production.fastapi.nginx" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("host", "directive", "listen"),
    [
        (DEBIAN_12, False, "443 ssl http2"),
        (UBUNTU_24, False, "443 ssl http2"),
        (DEBIAN_13, True, "443 ssl"),
        (UBUNTU_26, True, "443 ssl"),
    ],
)
def test_http2_is_written_as_the_installed_version_needs_it(main, site, host, directive, listen):
    text = main(__fastapi_host=host)
    assert directives(text, "http2") == (["on"] if directive else [])
    assert directives(text, "listen")[2:4] == [f"{listen} default_server", f"[::]:{listen} default_server"]
    assert directives(site(SHOP, __fastapi_host=host), "listen") == ["80", "[::]:80", listen, f"[::]:{listen}"]


@pytest.mark.parametrize(
    ("host", "http2"),
    [
        ({**DEBIAN_12, "packages": {}, "candidates": {"nginx": "1.22.1"}}, False),
        ({**DEBIAN_12, "packages": {}, "candidates": {"nginx": "1.28.0"}}, True),
        ({**DEBIAN_12, "packages": {}, "candidates": {}}, False),
        ({**DEBIAN_13, "packages": {}, "candidates": {"nginx": ""}}, True),
        ({**DEBIAN_13, "packages": {"nginx": "1:1.25.0-1"}}, False),
        ({**DEBIAN_13, "packages": {"nginx": "1:1.25.1-1~trixie"}}, True),
        ({**UBUNTU_24, "packages": {}, "candidates": {"nginx": "1.24.0"}}, False),
        ({**UBUNTU_24, "packages": {}, "candidates": {}}, False),
        ({**UBUNTU_26, "packages": {}, "candidates": {"nginx": "1.28.2"}}, True),
        ({**UBUNTU_26, "packages": {}, "candidates": {}}, True),
    ],
)
def test_without_an_installed_nginx_the_one_to_come_decides(main, host, http2):
    assert bool(directives(main(__fastapi_host=host), "http2")) is http2


def test_the_hybrid_curve_is_offered_only_where_openssl_has_it(render):
    curves = [
        directives(render("nginx", "snippets/tls.conf.j2", {"__fastapi_host": host}), "ssl_ecdh_curve")
        for host in (DEBIAN_12, UBUNTU_24, {**DEBIAN_13, "packages": {}}, DEBIAN_13, UBUNTU_26)
    ]
    classic = "X25519:prime256v1:secp384r1"
    assert curves == [[classic]] * 3 + [[f"?X25519MLKEM768:{classic}"]] * 2


def test_includes_are_relative_so_that_a_copy_of_the_folder_can_be_tested(main, site):
    for text in (main(), site(SHOP)):
        assert all(not path.startswith("/") for path in directives(text, "include"))


def test_other_names_are_refused_at_the_handshake(main):
    text = main()
    assert directives(text, "ssl_reject_handshake") == ["on"]
    assert directives(text, "ssl_certificate") == []
    assert directives(text, "return").count("444") == 2


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::1"])
def test_a_site_with_an_address_lends_its_certificate_to_clients_that_send_no_name(main, address):
    text = main(nginx_sites=[BLOG, {**SHOP, "domains": ["shop.example.com", address]}])
    assert directives(text, "ssl_certificate") == ["/etc/ssl/sites/shop/live/fullchain.pem"]
    assert directives(text, "server_name") == ["~."]
    assert directives(text, "ssl_reject_handshake") == ["on"]
    assert directives(text, "return").count("444") == 3


def test_only_the_first_site_with_an_address_lends_its_certificate(main):
    text = main(nginx_sites=[{**BLOG, "domains": ["192.0.2.1"]}, {**SHOP, "domains": ["192.0.2.2"]}])
    assert directives(text, "ssl_certificate") == ["/etc/ssl/sites/blog/live/fullchain.pem"]


def test_a_name_that_begins_with_a_digit_is_no_address(main):
    assert directives(main(nginx_sites=[{**SHOP, "domains": ["1.example.com"]}]), "ssl_certificate") == []


def test_without_sites_nobody_is_answered(main):
    assert directives(main(nginx_sites=[]), "ssl_reject_handshake") == ["on"]


def test_without_ipv6_only_ipv4_is_listened_on(main, site):
    for text in (main(nginx_ipv6=False), site(SHOP, nginx_ipv6=False)):
        assert not [listen for listen in directives(text, "listen") if ":" in listen and "127.0.80.80" not in listen]


def test_the_workers_tell_the_generation_to_their_own_host_only(main):
    text = main()
    assert "127.0.80.80:80" in directives(text, "listen")
    assert 'return 200 "@GENERATION@";' in text


def test_settings_reach_their_directives(main, site):
    text = main(
        nginx_worker_connections=512,
        nginx_keepalive_timeout=11,
        nginx_client_max_body_size="3m",
        nginx_proxy_connect_timeout=2,
        nginx_proxy_read_timeout="33.25",
        nginx_hsts_max_age=77,
    )
    expected = {
        "worker_rlimit_nofile": "2048",
        "keepalive_timeout": "11s",
        "client_max_body_size": "3m",
        "proxy_connect_timeout": "2s",
        "proxy_read_timeout": "33250ms",
        "proxy_send_timeout": "33250ms",
    }
    assert {name: directives(text, name) for name in expected} == {name: [value] for name, value in expected.items()}
    assert 'https "max-age=77";' in text
    upstream = block(
        site(SHOP, nginx_upstream_keepalive=8, nginx_upstream_keepalive_timeout=9), "upstream fastapi_shop"
    )
    assert directives(upstream, "keepalive") == ["8"]
    assert directives(upstream, "keepalive_timeout") == ["9s"]


def test_a_single_server_is_never_taken_out_and_several_are_after_three_failures(site):
    assert directives(block(site(SHOP), "upstream fastapi_shop"), "server") == ["unix:/run/shop/http.sock"]
    servers = directives(block(site(BLOG), "upstream fastapi_blog"), "server")
    assert servers == [f"10.0.0.{n}:8000 max_fails=3 fail_timeout=5s" for n in (5, 6)]


def test_static_folders_are_aliases_with_a_slash_at_the_end(site):
    static = block(site(SHOP), "location ^~ /static/")
    assert directives(static, "alias") == ["/srv/shop/current/src/shop/static/"]
    assert directives(static, "expires") == ["30d"]
    entry = {"url": "/media/", "folder": "/srv/media//", "expires": "1h"}
    media = block(site({**SHOP, "static": [entry]}), "location ^~ /media/")
    assert directives(media, "alias") == ["/srv/media/"]
    assert directives(media, "expires") == ["1h"]


def test_a_site_without_static_files_has_no_alias(site):
    assert directives(site(BLOG), "alias") == []


def test_private_paths_and_all_below_them_are_not_found(site):
    text = site(SHOP)
    for opening in ("location = /metrics", "location ^~ /metrics/"):
        assert directives(block(text, opening), "return") == ["404"]
        assert directives(block(text, opening), "error_page") == ["404 @error"]
    assert "404 @error" not in directives(site({**SHOP, "static": []}, nginx_private_paths=[]), "error_page")


def test_addresses_are_written_as_a_host_header_has_them(site):
    text = site({**SHOP, "domains": ["shop.example.com", "192.0.2.1", "2001:db8::1"]})
    assert directives(text, "server_name") == ["shop.example.com 192.0.2.1 [2001:db8::1]"] * 2


def test_every_location_that_sets_headers_includes_the_shared_ones(site):
    proxied = site(SHOP).split("proxy_pass")[1]
    assert directives(proxied, "include") == ["production.fastapi/proxy.conf", "production.fastapi/headers.conf"]


def test_servers_that_show_a_certificate_are_asked_over_tls_and_nobody_else(site):
    plain, tls = site(SHOP), site({**SHOP, "upstream_certificate": "/tls/shop.pem"})
    assert (directives(plain, "proxy_pass"), directives(tls, "proxy_pass")) == (
        ["http://fastapi_shop"],
        ["https://fastapi_shop"],
    )
    assert directives(tls, "proxy_ssl_trusted_certificate") == ["production.fastapi/upstreams/shop.pem"]
    assert (directives(tls, "proxy_ssl_verify"), directives(tls, "proxy_ssl_name")) == (["on"], ["shop"])
    assert "proxy_ssl" not in plain


def test_port_80_redirects_all_but_acme_challenges(site, render):
    text = site(SHOP).split("listen 443")[0]
    assert directives(text, "return") == ["301 https://$host$request_uri"]
    assert "production.fastapi/challenges.conf" in directives(text, "include")
    challenges = render("nginx", "snippets/challenges.conf.j2", {"nginx_sites": [SHOP], "__fastapi_host": DEBIAN_13})
    assert directives(block(challenges, "location ^~ /.well-known/acme-challenge/"), "root") == ["/var/www/acme"]


def test_a_new_self_signed_certificate_changes_the_file_so_that_nginx_loads_it(site):
    first, second = (site(SHOP, __nginx_certificates={"serials": {"shop": serial}}) for serial in ("0A", "0B"))
    assert "0A" in first
    assert first != second
    assert "Self-signed" not in site(SHOP, __nginx_certificates={"serials": {"shop": ""}})
    # Else the first run would have written the placeholder's, and the second one none.
    real = {"nginx_certificate": "letsencrypt", "groups": {}, "hostvars": {}}
    assert "Self-signed" not in site(SHOP, __nginx_certificates={"serials": {"shop": "0A"}}, **real)


def test_extra_configuration_lands_in_its_context_indented(main, site):
    text = main(nginx_main_extra_config="env TZ;\n", nginx_http_extra_config="map $a $b {\n    default 1;\n}")
    assert text.index("env TZ;") < text.index("end of the context http")
    assert "\nmap $a $b {\n    default 1;\n}\n" in text
    text = site({**SHOP, "extra_config": "client_max_body_size 1g;", "proxy_extra_config": "proxy_buffering off;"})
    assert "\n    client_max_body_size 1g;\n" in text
    assert "\n        proxy_buffering off;\n" in text.split("proxy_pass")[1]


def test_without_extra_configuration_there_is_no_trace_of_it(main, site):
    assert "\n# nginx_" not in main()
    assert "extra_config" not in site(SHOP)


def test_a_site_in_maintenance_answers_only_those_who_are_allowed(site):
    name = {**SHOP, "name": "my-shop"}
    host = {**DEBIAN_13, "maintenance": {"my-shop": {"retry_after": 60, "allow": ["192.0.2.7"]}}}
    text = site(name, __fastapi_host=host)
    assert "    192.0.2.7 '';\n" in block(text, "geo $fastapi_maintenance_client_my_shop")
    assert "    if ($fastapi_maintenance_my_shop) {\n        return 503;\n    }\n" in text
    assert directives(block(text, "location = /.maintenance.html"), "add_header")[0] == "Retry-After 60 always"
    assert text.index("error_page 503") < text.index("include production.fastapi/errors.conf")
    assert "maintenance" not in site(SHOP, __fastapi_host=host)


def test_maintenance_on_one_load_balancer_is_maintenance_on_all(site):
    known = {"__fastapi_host": {"maintenance": {"shop": {"retry_after": 60, "allow": []}}}}
    inventory = {"groups": {"load_balancers": ["lb1", "lb2"]}, "hostvars": {"lb1": known, "lb2": {}}}
    assert "if ($fastapi_maintenance_shop) {" in site(SHOP, **inventory)


@pytest.mark.parametrize("no", [False, "no", "false", "off", "0", 0])
def test_without_ipv6_nothing_listens_there_however_it_is_written(main, site, no):
    for text in (main(nginx_ipv6=no), site(SHOP, nginx_ipv6=no)):
        assert "[::]" not in text
    assert "[::]" in site(SHOP, nginx_ipv6="yes")


def test_braces_are_balanced_in_every_combination(main, site):
    for sites in ([], [SHOP], [SHOP, BLOG], [{**SHOP, "domains": ["192.0.2.1"]}]):
        for mode in ("enforce", "dry_run", "disabled"):
            text = re.sub(r"\{[0-9]+\}", "", main(nginx_sites=sites, nginx_rate_limit_mode=mode))
            assert text.count("{") == text.count("}")
    for text in (site(SHOP), site(BLOG)):
        assert text.count("{") == text.count("}")
        assert "{{" not in text
        assert "{%" not in text


@pytest.mark.parametrize(
    ("variables", "gone", "there"),
    [
        ({}, [], ["ProtectHome=yes", "PrivateTmp=yes", "SystemCallFilter=~@resources"]),
        ({"nginx_sites": [{**SHOP, "servers": ["unix:/tmp/shop.sock"]}]}, ["PrivateTmp"], ["ProtectHome=yes"]),
        (
            {"nginx_sites": [{**SHOP, "static": [{"url": "/s/", "folder": "/home/shop/static"}]}]},
            ["ProtectHome=yes"],
            ["ProtectHome=read-only", "PrivateTmp=yes"],
        ),
        ({"nginx_main_extra_config": "worker_priority -5;"}, ["~@resources"], ["PrivateTmp=yes"]),
    ],
)
def test_the_sandbox_leaves_what_the_settings_name(render, variables, gone, there):
    settings = {"__fastapi_host": DEBIAN_13, "nginx_sites": [SHOP], **variables}
    text = render("nginx", "nginx.service.d.conf.j2", settings)
    assert [line for line in gone if line in text] == []
    assert [line for line in there if line not in text] == []
    # The first list decides whether it names what is allowed or what is refused.
    assert text.index("SystemCallFilter=@system-service") == text.index("SystemCallFilter=")


@pytest.mark.parametrize("template", ["nginx.service.d.conf.j2", "certificates/site-certificates.service.j2"])
def test_sites_of_others_may_go_on_to_write_where_they_do(render, template):
    listen = {"file": "x", "line": 2, "address": "", "port": 80, "ssl": False, "http2": False, "proxy_protocol": False}
    theirs = {"context": "http", "file": "x", "line": 1, "names": [], "listens": [listen | {"dual": False}]}
    nginx = {"main": "events { }\nhttp { }\n", "default_site": "", "settings": [], "servers": [theirs]}
    nginx |= {"main_is_package": True, "unreadable": []}
    alone = render("nginx", template, {"__fastapi_host": DEBIAN_13, "nginx_sites": [SHOP]})
    beside = render("nginx", template, {"__fastapi_host": {**DEBIAN_13, "nginx": nginx}, "nginx_sites": [SHOP]})
    assert "ProtectHome=" in alone
    assert "ProtectHome" not in beside
    assert "PrivateTmp" not in beside or "certificates" in template
    assert "ProtectSystem=strict" not in beside
