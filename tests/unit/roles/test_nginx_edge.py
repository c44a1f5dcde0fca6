"""What the role nginx writes about clients: who they are, how much they may ask for, and what is noted of them."""

import pytest
from test_nginx_templates import DEBIAN_12, DEBIAN_13, SHOP, block, directives


@pytest.fixture
def snippet(render):
    def text(name, site=SHOP, **variables):
        values = {"__fastapi_host": DEBIAN_13, "nginx_sites": [site], "item": site, **variables}
        return render("nginx", f"{name}.conf.j2", values)

    return text


def rest(text):
    """The location of a site for all that no route is written for."""
    return block(text.split("listen 443")[1], "location /")


def with_route(**values):
    return {**SHOP, "routes": [{"path": "/api", **values}]}


def test_the_rate_limit_counts_addresses_and_networks_and_spares_exempt_paths(snippet):
    text = snippet("snippets/limits", nginx_rate_limit_per_second=7, nginx_rate_limit_exempt=["/up"])
    assert directives(text, "limit_req_zone") == ["$fastapi_rate_limit_key zone=fastapi_clients:10m rate=7r/s"]
    keys = block(text, "map $fastapi_merged_slashes$uri $fastapi_rate_limit_key")
    assert r""""~^/up\z" '';""" in keys
    assert "default $fastapi_client_bucket;" in keys
    below = snippet("snippets/limits", nginx_rate_limit_exempt=["/static/", "/"])
    assert r""""~^/static/" '';""" in below
    assert r""""~^/\z" '';""" in below, "the page itself, and not all paths"
    assert directives(text, "limit_req_dry_run") == []
    site = rest(snippet("site", nginx_rate_limit_burst=3))
    assert directives(site, "limit_req") == ["zone=fastapi_clients burst=3 nodelay"]
    assert directives(site, "limit_conn") == ["fastapi_connections 100"]


def test_allowed_networks_have_no_bucket(snippet):
    text = snippet("snippets/limits", nginx_rate_limit_allow=["10.0.0.0/8", "2001:db8::/32"])
    assert "10.0.0.0/8 allowed;" in block(text, "geo $fastapi_allowed_client")
    assert "\"~^allowed\" '';" in block(
        text, "map $fastapi_allowed_client$fastapi_merged_slashes$uri $fastapi_rate_limit_key"
    )
    assert "geo" not in snippet("snippets/limits")


def test_a_route_has_its_own_limit_of_addresses_instead_of_the_common_one(snippet):
    site = with_route(limits=[{"rate": "5/m", "burst": 2, "delay": True}])
    assert "$fastapi_rate_limit_key zone=fastapi_shop/api@address:10m rate=5r/m" in directives(
        snippet("site", site), "limit_req_zone"
    )
    route = block(snippet("site", site), "location /api")
    assert directives(route, "limit_req") == ["zone=fastapi_shop/api@address burst=2"]
    assert directives(route, "set") == ["$fastapi_retry_seconds 12"]
    assert directives(rest(snippet("site", site)), "limit_req") == ["zone=fastapi_clients burst=20 nodelay"]


def test_without_a_burst_none_is_written_as_nginx_refuses_one_of_nothing(snippet):
    site = snippet("site", with_route(limits=[{"rate": "5/m"}]), nginx_rate_limit_burst=0)
    assert directives(block(site, "location /api"), "limit_req") == ["zone=fastapi_shop/api@address nodelay"]
    assert directives(rest(site), "limit_req") == ["zone=fastapi_clients nodelay"]


def test_a_limit_by_header_or_in_total_holds_besides_that_of_addresses(snippet):
    limits = [{"key": "X-API-Key", "rate": "5/s"}, {"key": "total", "rate": "100/s", "burst": 50}]
    site = with_route(limits=limits)
    assert directives(block(snippet("site", site), "location /api"), "limit_req") == [
        "zone=fastapi_clients burst=20 nodelay",
        "zone=fastapi_shop/api@x_api_key nodelay",
        "zone=fastapi_shop/api@total burst=50 nodelay",
    ]
    keys = block(snippet("site", site), "map $fastapi_rate_limit_key $fastapi_rate_limit_x_api_key")
    assert directives(keys, "default") == ["$http_x_api_key"]
    assert directives(keys, "''") == ["''"]


def test_a_dry_run_only_marks(snippet):
    text = snippet("server", nginx_rate_limit_mode="dry_run")
    assert directives(text, "limit_req_dry_run") == directives(text, "limit_conn_dry_run") == ["on"]


def test_a_disabled_limit_leaves_no_directive(snippet):
    assert "production.fastapi/limits.conf" not in directives(
        snippet("http", nginx_rate_limit_mode="disabled"), "include"
    )
    site = snippet("site", with_route(limits=[{"rate": "5/m"}]), nginx_rate_limit_mode="disabled")
    assert "limit_" not in site
    assert "retry_seconds" not in site


def test_what_the_sites_of_another_inventory_count_by_is_there_in_any_case(snippet):
    theirs = {"name": "blog", "domains": ["blog.example.com"], "inventory": "theirs"}
    host = {**DEBIAN_13, "inventory": "mine", "sites": {"blog": theirs}}
    includes = directives(snippet("http", nginx_rate_limit_mode="disabled", __fastapi_host=host), "include")
    assert {"production.fastapi/limits.conf", "production.fastapi/cache.conf"} <= set(includes)


def test_without_a_limit_of_connections_none_are_counted(snippet):
    for name in ("site", "snippets/limits"):
        assert "limit_conn " not in snippet(name, nginx_connections_per_client=0)
    assert "limit_conn_zone" not in snippet("snippets/limits", nginx_connections_per_client=0)


def test_what_is_special_of_a_route_stays_in_it(snippet):
    text = snippet("site", with_route(body_size="1g", stream=True, read_timeout=3600))
    route = block(text, "location /api")
    expected = {
        "client_max_body_size": "1g",
        "proxy_buffering": "off",
        "proxy_request_buffering": "off",
        "proxy_read_timeout": "3600s",
        "proxy_send_timeout": "3600s",
    }
    assert {name: directives(route, name) for name in expected} == {name: [value] for name, value in expected.items()}
    assert not [name for name in expected if directives(rest(text), name)]


def test_answers_are_kept_only_where_a_route_says_so_and_never_with_credentials(snippet):
    site = with_route(cache=2, limits=[{"key": "X-Tenant", "rate": "1/s"}])
    assert directives(block(snippet("site", site), "location /api"), "proxy_cache_valid") == ["200 301 302 404 2s"]
    assert "proxy_cache" not in rest(snippet("site", site))
    assert "production.fastapi/cache.conf" in directives(snippet("http", site), "include")
    assert "production.fastapi/cache.conf" not in directives(snippet("http"), "include")
    names = '"$http_authorization$http_cookie$http_x_api_key$http_x_tenant"'
    assert directives(block(snippet("site", site), f"map {names} $fastapi_has_credentials_shop"), "default") == ["1"]


@pytest.mark.parametrize(("listed", "told"), [([], "443|80"), ([8443, 443], "443|80|8443")])
def test_the_app_gets_a_port_that_is_listed_and_cached_answers_are_kept_apart_by_it(snippet, listed, told):
    ports = block(snippet("http", nginx_public_ports=listed), "map $http_host $fastapi_host_port")
    assert f'"~(?<fastapi_port>:(?:{told}))$" $fastapi_port;' in ports
    route = block(snippet("site", with_route(cache=1)), "location /api")
    assert directives(route, "proxy_cache_key") == ["$scheme$host$fastapi_host_port$request_uri"]


def test_extra_configuration_of_the_proxy_is_for_the_rest_of_the_site(snippet):
    text = snippet("site", {**with_route(), "proxy_extra_config": "proxy_buffering off;"})
    assert directives(block(text, "location /api"), "proxy_buffering") == []
    assert directives(rest(text), "proxy_buffering") == ["off"]


def test_nobody_is_believed_who_the_client_is_unless_it_is_listed(snippet):
    assert "real_ip" not in snippet("snippets/clients")
    text = snippet(
        "snippets/clients", nginx_trusted_proxies=["192.0.2.0/24"], nginx_trusted_proxies_header="CF-Connecting-IP"
    )
    assert directives(text, "set_real_ip_from") == ["192.0.2.0/24"]
    assert directives(text, "real_ip_header") == ["CF-Connecting-IP"]
    assert directives(text, "real_ip_recursive") == ["on"]


@pytest.mark.parametrize(("host", "tls"), [(DEBIAN_12, "443 ssl http2"), (DEBIAN_13, "443 ssl")])
def test_every_door_speaks_the_proxy_protocol_when_the_proxies_do(snippet, host, tls):
    values = {"__fastapi_host": host, "nginx_ipv6": False, "nginx_trusted_proxies_header": "proxy_protocol"}
    values["nginx_trusted_proxies"] = ["192.0.2.1"]
    assert directives(snippet("site", **values), "listen") == ["80 proxy_protocol", f"{tls} proxy_protocol"]
    assert directives(snippet("http", **values), "listen")[:2] == [
        "80 proxy_protocol default_server",
        f"{tls} proxy_protocol default_server",
    ]
    assert "proxy_protocol" not in snippet("http", **(values | {"nginx_trusted_proxies": []}))


@pytest.mark.parametrize(
    ("choice", "logs"),
    [
        ("json", ["/var/log/nginx/access.log fastapi_json buffer=64k flush=5s"]),
        ("combined", ["/var/log/nginx/access.log combined buffer=64k flush=5s"]),
        ("none", ["off"]),
    ],
)
def test_the_access_log_is_json_or_the_common_format_or_none(snippet, choice, logs):
    assert directives(snippet("server", nginx_access_log=choice), "access_log") == logs


def test_hashed_names_are_kept_for_good_and_compressed_files_are_served(snippet):
    static = {"url": "/static/", "folder": "/srv/shop/static", "immutable": True}
    text = block(snippet("site", {**SHOP, "static": [static]}), "location ^~ /static/")
    assert directives(text, "add_header") == ['Cache-Control "public, max-age=31536000, immutable"']
    assert directives(text, "include") == ["production.fastapi/headers.conf"]
    assert directives(text, "gzip_static") == ["on"]
    assert directives(text, "expires") == []


def test_hashed_names_of_earlier_releases_are_looked_for_behind_those_of_now(snippet):
    folders = {"folder": "/srv/shop/public/current/dist/v1.2", "former": "/srv/shop/public/kept/dist/v1.2"}
    static = {"url": "/v1.2/", **folders, "immutable": True}
    text = block(snippet("site", {**SHOP, "static": [static]}), "location ^~ /v1.2/")
    assert directives(text, "root") == ["/srv/shop/public"]
    assert directives(text, "rewrite") == ["^/v1[.]2/(.*)$ /$1 break"]
    assert directives(text, "try_files") == ["/current/dist/v1.2$uri /kept/dist/v1.2$uri =404"]
    assert directives(text, "alias") == []


def test_a_front_end_below_a_url_has_a_page_for_what_is_no_file(snippet):
    static = {"url": "/app/", "folder": "/srv/shop/dist/", "fallback": "index.html"}
    text = snippet("site", {**SHOP, "static": [static]})
    files = block(text, "location ^~ /app/")
    assert directives(files, "try_files") == ["$uri @fastapi_page/app/"]
    assert directives(files, "root") == ["/srv/shop/dist"]
    navigation = block(block(text, "location @fastapi_page/app/"), "if ($fastapi_or_page)")
    assert directives(navigation, "rewrite") == ["^ /app/index.html last"]
    page = block(text, "location = /app/index.html")
    assert (directives(page, "root"), directives(page, "try_files")) == (["/srv/shop/dist"], ["/index.html =404"])
    assert directives(page, "add_header") == ["Cache-Control no-cache"]
    assert "@fastapi_app" not in text


def test_a_front_end_at_the_root_leaves_the_app_what_is_its_own(snippet):
    static = {"url": "/", "folder": "/srv/shop/dist", "fallback": "index.html"}
    routes = [{"path": "/", "body_size": "50m"}, {"path": "/api/"}]
    text = snippet("site", {**SHOP, "static": [static], "routes": routes, "proxy_extra_config": "# mine"})
    files = rest(text)
    assert directives(files, "try_files") == ["$uri @fastapi_app$fastapi_or_page"]
    assert directives(files, "client_max_body_size") == ["50m"]
    assert directives(files, "limit_req") == [], "a page has more files than a client may ask of the app at once"
    app, page = block(text, "location @fastapi_app"), block(text, "location @fastapi_app_or_page")
    assert directives(app, "error_page") == []
    assert directives(page, "error_page") == ["404 405 =200 /index.html", "413 429 502 504 @error"]
    for location in (app, page):
        assert directives(location, "limit_req")
        assert "# mine" in location
    assert "error_page" not in block(text, "location /api/")


def test_hashed_files_that_the_app_serves_are_kept_by_nginx(render, snippet):
    site = with_route(immutable=True)
    route = block(snippet("site", site), "location /api")
    assert directives(route, "proxy_cache") == ["fastapi_kept"]
    assert directives(route, "proxy_cache_valid") == ["200 30d"]
    assert directives(route, "proxy_next_upstream") == ["error timeout http_404"], "during a deploy one server has it"
    assert directives(route, "proxy_next_upstream_tries") == ["0"]
    assert directives(route, "proxy_cache_bypass") == [], "browsers send their cookies for such files, too"
    assert "proxy_cache" not in rest(snippet("site", site))
    assert "production.fastapi/cache.conf" in directives(snippet("http", site), "include")
    zones = [words.split()[2] for words in directives(render("nginx", "cache.conf"), "proxy_cache_path")]
    assert "keys_zone=fastapi_kept:10m" in zones


def test_other_names_of_a_site_lead_to_its_first_one(snippet):
    names = {"domains": ["example.com", "www.example.com", "example.org"], "redirect_domains": ["www.example.com"]}
    plain, own, other = snippet("site", {**SHOP, **names}).split("\nserver {")[1:]
    assert directives(plain, "server_name") == ["example.com www.example.com example.org"]
    assert directives(own, "server_name") == ["example.com example.org"]
    assert directives(other, "server_name") == ["www.example.com"]
    assert directives(other, "return") == ["301 https://example.com$fastapi_host_port$request_uri"]
    assert directives(other, "ssl_certificate") == directives(own, "ssl_certificate")
    assert snippet("site").count("\nserver {") == 2


def test_a_staging_site_asks_who_comes_and_lets_a_deploy_in(snippet):
    text = snippet("site", {**SHOP, "allow": ["203.0.113.0/24"], "password": "pl4nted"}).split("listen 443")[1]
    assert directives(text, "satisfy") == ["any"]
    assert directives(text, "allow") == ["127.0.80.81", "127.0.80.82", "203.0.113.0/24"]
    assert directives(text, "deny") == ["all"]
    assert directives(text, "auth_basic_user_file") == ["production.fastapi/passwords/shop"]
    assert "pl4nted" not in text
    alone = snippet("site", {**SHOP, "allow": ["203.0.113.7"]})
    assert (directives(alone, "deny"), directives(alone, "auth_basic")) == (["all"], [])
    assert directives(snippet("site"), "deny") == []


def test_headers_of_answers_may_be_large(snippet):
    text = snippet("server", nginx_response_header_size="64k")
    assert directives(text, "proxy_buffer_size") == ["64k"]
    assert directives(text, "proxy_buffers") == ["8 64k"]


def test_what_people_have_uploaded_cannot_run_as_a_page_of_the_site(snippet):
    static = {
        "url": "/media/",
        "folder": "/srv/shop/shared/a/b",
        "untrusted_below": "/srv/shop/shared",
        "expires": "1h",
    }
    text = block(snippet("site", {**SHOP, "static": [static]}), "location ^~ /media/")
    assert directives(text, "alias") == ["/srv/shop/shared/a/b/"]
    assert directives(text, "disable_symlinks") == ["on from=/srv/shop/shared"]
    assert "add_header Content-Security-Policy \"default-src 'none'; " in text
    assert '; sandbox" always;' in text
    assert directives(text, "include") == ["production.fastapi/headers.conf"]
    # Whoever may save a.html.gz must not replace a.html.
    assert directives(text, "gzip_static") == ["off"]
    plain = block(snippet("site", {**SHOP, "static": [{"url": "/a/", "folder": "/srv/a"}]}), "location ^~ /a/")
    assert directives(plain, "disable_symlinks") == directives(plain, "add_header") == []


@pytest.mark.parametrize(
    ("profile", "versions", "suites"), [("intermediate", "TLSv1.2 TLSv1.3", 1), ("modern", "TLSv1.3", 0)]
)
def test_the_profile_of_tls_says_which_versions_are_spoken(snippet, profile, versions, suites):
    text = snippet("snippets/tls", nginx_tls_profile=profile)
    assert directives(text, "ssl_protocols") == [versions]
    assert len(directives(text, "ssl_ciphers")) == suites


def test_the_exporter_reads_the_counters_on_loopback_and_listens_where_it_is_told(snippet):
    text = snippet("exporter.service.d", nginx_exporter_listen="10.0.0.5:9113")
    assert "Environment=SCRAPE_URI=http://127.0.80.80/status LISTEN_ADDRESS=10.0.0.5:9113\n" in text
