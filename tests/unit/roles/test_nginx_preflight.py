"""What the role nginx refuses before anything changes, in one sentence each."""

import pytest
from ansible.template import trust_as_template
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.nginx import MINIMUM
from ansible_collections.production.fastapi.plugins.plugin_utils.preflight import examine
from conftest import examined, view_of

SITE = {"name": "shop", "domains": ["shop.example.com"], "servers": ["unix:/run/shop/http.sock"]}
HOST = {"distribution": "debian", "distribution_version": "13", "packages": {}, "candidates": {}}


@pytest.fixture
def problems():
    def evaluate(app_servers=None, **variables):
        values = {
            "nginx_sites": [SITE],
            "__fastapi_host": HOST,
            "groups": {"app_servers": list(app_servers or {})},
            "hostvars": app_servers or {},
            **variables,
        }
        return examined("nginx", values).problems

    return evaluate


def test_the_defaults_have_no_problems(problems):
    assert problems() == []
    assert problems(app_servers={"app1": {}}) == []


def test_a_role_alone_does_not_ask_for_gunicorn(problems):
    assert problems(groups={}, nginx_proxy_read_timeout=600, nginx_upstream_keepalive_timeout=300) == []


@pytest.mark.parametrize(
    "found",
    [{"packages": {"nginx": "1.18.0-6ubuntu14"}}, {"candidates": {"nginx": "1.18.0"}}],
    ids=["installed", "known"],
)
def test_an_older_nginx_is_refused(problems, found):
    (problem,) = problems(__fastapi_host={**HOST, **found})
    assert problem.startswith(
        "The host runs debian 13, whose Nginx is 1.18, and 1.22 or newer is needed; use Debian 12"
    )


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("nginx_hsts_max_age", -1, "nginx_hsts_max_age is -1; write 0 or more."),
        ("nginx_worker_connections", 10, "nginx_worker_connections is 10; write 64 or more."),
        ("nginx_keepalive_timeout", -1, "nginx_keepalive_timeout is -1; write 0 or more."),
        ("nginx_proxy_connect_timeout", 0, "nginx_proxy_connect_timeout is 0; write 1 or more."),
        ("nginx_proxy_connect_timeout", 76, "nginx_proxy_connect_timeout is 76 s; write 75 or less"),
        ("nginx_proxy_read_timeout", 0, "nginx_proxy_read_timeout is 0; write 1 or more."),
        ("nginx_upstream_keepalive", 0, "nginx_upstream_keepalive is 0; write 1 or more."),
        ("nginx_upstream_keepalive_timeout", 0, "nginx_upstream_keepalive_timeout is 0; write 1 or more."),
        ("nginx_rate_limit_per_second", 0, "nginx_rate_limit_per_second is 0; write 1 or more."),
        ("nginx_rate_limit_burst", -1, "nginx_rate_limit_burst is -1; write 0 or more."),
        ("nginx_connections_per_client", -1, "nginx_connections_per_client is -1; write 0 or more."),
        ("nginx_trusted_proxies", ["300.0.0.1"], "nginx_trusted_proxies has 300.0.0.1; write an address or a network"),
        ("nginx_rate_limit_allow", ["999.0.0.0/99"], "nginx_rate_limit_allow has 999.0.0.0/99; write an address or a"),
        ("nginx_rate_limit_allow", ["::zz"], "nginx_rate_limit_allow has ::zz; write an address or a network"),
        ("nginx_rate_limit_allow", ["office"], "nginx_rate_limit_allow has office; write an address or a network"),
        (
            "nginx_trusted_proxies",
            ["cdn.example"],
            "nginx_trusted_proxies has cdn.example; write an address or a network",
        ),
        (
            "nginx_trusted_proxies",
            ["0.0.0.0/0"],
            "nginx_trusted_proxies has 0.0.0.0/0, which includes every client, so any",
        ),
        (
            "nginx_trusted_proxies_header",
            "x y",
            "nginx_trusted_proxies_header is x y; write the name of a header, such",
        ),
        (
            "nginx_sites",
            [{**SITE, "routes": [{"path": "api"}]}],
            "Site shop: its route api is not a plain path; write one",
        ),
        ("nginx_response_header_size", "16", "nginx_response_header_size is 16; write 4k to 999k, such as 64k."),
        ("nginx_response_header_size", "1m", "nginx_response_header_size is 1m; write 4k to 999k, such as 64k."),
        ("nginx_client_max_body_size", "10 MB", "nginx_client_max_body_size is 10 MB; write a number with k, m or g"),
        (
            "nginx_rate_limit_exempt",
            ["/a b"],
            "nginx_rate_limit_exempt has /a b; write a plain path, such as /healthz.",
        ),
        ("nginx_rate_limit_exempt", ["healthz"], "nginx_rate_limit_exempt has healthz; write a plain path"),
        (
            "nginx_private_paths",
            ["/metrics/"],
            "nginx_private_paths has /metrics/; write a plain path without / at its",
        ),
        ("nginx_public_ports", [65536], "nginx_public_ports has 65536; write the ports that clients use, from 1 to"),
        ("nginx_private_paths", ["/a b"], "nginx_private_paths has /a b; write a plain path without / at its end"),
        (
            "nginx_sites",
            [{**SITE, "domains": ["no domain"]}],
            "Site shop: 'no domain' in its domains (app_domains) is not",
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused(problems, variable, value, sentence):
    (problem,) = problems(**{variable: value})
    assert problem.startswith(sentence)


def test_the_smallest_value_that_is_allowed_is_allowed(problems):
    assert problems(**MINIMUM) == []


def test_all_problems_are_told_at_once(problems):
    assert (
        len(problems(nginx_upstream_keepalive=0, nginx_client_max_body_size="x", nginx_sites=[{**SITE, "servers": []}]))
        == 3
    )


@pytest.mark.parametrize(
    ("where", "keepalive", "upstream", "refused"),
    [
        ("host", 60, 60, True),
        ("host", 61, 60, False),
        ("app server", 60, 60, True),
        ("app server", 61, 60, False),
        ("default", None, 75, True),
        ("default", None, 74, False),
    ],
)
def test_nginx_lets_an_idle_connection_go_before_the_worker_does(problems, where, keepalive, upstream, refused):
    servers = {
        "app1": {"gunicorn_drain_timeout": 80, **({"gunicorn_keepalive": keepalive} if where == "app server" else {})}
    }
    found = problems(
        app_servers=servers if where != "host" else None,
        nginx_upstream_keepalive_timeout=upstream,
        **({"gunicorn_keepalive": keepalive} if where == "host" else {}),
    )
    assert len(found) == refused
    if refused:
        assert f"nginx_upstream_keepalive_timeout ({upstream} s) must be less than gunicorn_keepalive" in found[0]
        assert f"set gunicorn_keepalive to {upstream + 15} or more" in found[0]


@pytest.mark.parametrize(
    ("drain", "upstream", "refused"), [(None, 2, False), (None, 3, True), (6, 5, False), (6, 6, True)]
)
def test_nginx_lets_an_idle_connection_go_before_a_worker_that_drains(problems, drain, upstream, refused):
    server = {} if drain is None else {"gunicorn_drain_timeout": drain}
    found = problems(app_servers={"app1": server}, nginx_upstream_keepalive_timeout=upstream)
    assert len(found) == refused
    if refused:
        assert f"nginx_upstream_keepalive_timeout ({upstream} s) must be less than gunicorn_drain_timeout" in found[0]
        assert f"set gunicorn_drain_timeout to {upstream + 1} or more" in found[0]


@pytest.mark.parametrize(("timeout", "read", "refused"), [(60, 61, True), (60, 60, False), ("60", "61", True)])
def test_nginx_does_not_wait_longer_than_gunicorn(problems, timeout, read, refused):
    found = problems(app_servers={"app1": {}, "app2": {"gunicorn_timeout": timeout}}, nginx_proxy_read_timeout=read)
    sentence = (
        "nginx_proxy_read_timeout (61 s) must not be longer than gunicorn_timeout (60 s); set nginx_proxy_read_timeout "
        "to 60 or less, or gunicorn_timeout to 61 or more."
    )
    assert found == [sentence] * refused


def test_nginx_without_anything_to_serve_is_refused(problems):
    assert problems(groups={}, nginx_sites=[]) == [
        "Nginx has no sites: the inventory has no host in the group app_servers; add one, or set nginx_sites."
    ]
    assert problems(app_servers={"app1": {}}, nginx_sites=[]) == []
    assert examined("nginx", {"nginx_sites": [], "groups": {}}, leaving=True).problems == []


def balancers(count):
    hostvars = {f"lb{number}": {"private_address": f"10.0.0.{number}"} for number in range(count)}
    return {"groups": {"load_balancers": list(hostvars)}, "hostvars": hostvars, "inventory_hostname": "lb0"}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"nginx_acme_directory": "prod"}, "nginx_acme_directory is prod; write production, staging, or the https://"),
        (
            {"nginx_acme_ca_bundle": "ca.pem"},
            "nginx_acme_ca_bundle is ca.pem; write the absolute path of a file",
        ),
        ({"nginx_acme_directory": "http://ca.example/dir"}, "nginx_acme_directory is http://ca.example/dir; write"),
        ({"nginx_acme_eab_kid": "kid"}, "nginx_acme_eab_kid and nginx_acme_eab_hmac_key belong together; set both"),
        ({"nginx_acme_eab_hmac_key": "key"}, "nginx_acme_eab_kid and nginx_acme_eab_hmac_key belong together"),
        (
            {"nginx_acme_dns": "rfc2136; reboot"},
            "nginx_acme_dns is rfc2136; reboot; write the NAME of a package python3-certbot",
        ),
        (
            {"nginx_acme_dns_credentials": "secret = x"},
            "nginx_acme_dns_credentials is set without a plugin; set nginx_acme_dns to",
        ),
        ({"nginx_acme_email": "a@b.example\nserver = x"}, "must not contain spaces or line breaks."),
        (
            {"nginx_acme_profile": "shortlived", "__fastapi_host": {**HOST, "distribution_version": "12"}},
            "nginx_acme_profile is shortlived, but certbot of Debian 12 and of Ubuntu 24.04 knows no profiles",
        ),
        (balancers(5), "nginx_certificate is letsencrypt on 5 load balancers, but"),
        (
            {**balancers(2), "nginx_trusted_proxies_header": "proxy_protocol"},
            "nginx_trusted_proxies_header is proxy_protocol, with which load balancers cannot pass on",
        ),
    ],
)
def test_what_an_authority_could_not_be_asked_with(problems, variables, sentence):
    usual = {"nginx_certificate": "letsencrypt", "nginx_trusted_proxies": ["192.0.2.1"]}
    found = problems(**{**usual, **variables})
    assert len(found) == 1
    assert sentence in found[0]


@pytest.mark.parametrize("directory", ["production", "staging", "https://ca.example/directory"])
def test_an_authority_that_can_be_asked(problems, directory):
    account = {"nginx_acme_email": "ops@example.com", "nginx_acme_eab_kid": "kid", "nginx_acme_eab_hmac_key": "key"}
    more = {"nginx_acme_profile": "shortlived", **balancers(2)}
    assert problems(nginx_certificate="letsencrypt", nginx_acme_directory=directory, **account, **more) == []


def test_a_profile_is_nothing_to_a_debian_12_that_asks_no_authority(problems):
    host = {**HOST, "distribution_version": "12"}
    assert problems(nginx_certificate="self-signed", nginx_acme_profile="shortlived", __fastapi_host=host) == []


@pytest.mark.parametrize(
    "listen", ["9113", ":9113", "metrics:9113", "10.0.0.5", "10.0.0.5:0", "[::1]:70000", "300.0.0.5:9113"]
)
def test_an_exporter_listens_on_an_address_and_a_port(problems, listen):
    (problem,) = problems(nginx_exporter=True, nginx_exporter_listen=listen)
    assert problem.startswith(f"nginx_exporter_listen is {listen}; write an address of this host and a port, such as")
    assert problems(nginx_exporter_listen=listen) == []


@pytest.mark.parametrize("listen", ["127.0.0.1:9113", "[2001:db8::5]:9113"])
def test_an_exporter_may_listen_on_any_address_that_is_one(problems, listen):
    assert problems(nginx_exporter=True, nginx_exporter_listen=listen) == []


@pytest.mark.parametrize(
    ("variable", "value", "instead"),
    [
        ("nginx_http3", True, "remove the variable, because HTTP/3 lost requests at each reload of Nginx"),
        ("nginx_brotli_static", True, 'remove the variable, and put "brotli_static on;" into extra_config of a site'),
        ("nginx_acme_staging_directory", "staging", "set nginx_acme_directory to staging to try, and to production"),
    ],
)
def test_what_earlier_versions_knew_is_refused_where_it_asked_for_something(problems, variable, value, instead):
    (problem,) = problems(**{variable: value})
    assert problem.startswith(f"{variable} was removed: {instead}")
    assert problems(**{variable: type(value)()}) == []


def test_what_the_inventory_does_not_yield_is_told_by_its_own_sentence():
    hostvars = {"lb": {}, "app1": {"app_name": "shop", "app_domains": ["shop.example.com"]}}
    groups = {"load_balancers": ["lb"], "app_servers": ["app1"]}
    values = {"groups": groups, "hostvars": hostvars, "inventory_hostname": "lb"}
    (problem,) = examined("nginx", values).problems
    assert problem.startswith("lb cannot reach the app shop on app1 at unix:/run/shop/http.sock; set gunicorn_bind of")
    (problem,) = examined("nginx", {"nginx_sites": [SITE], "nginx_ipv6": trust_as_template("{{ mine }}")}).problems
    assert problem == "nginx_ipv6 has no value, because its template fails: 'mine' is undefined"


def test_settings_of_an_ini_inventory_are_what_they_mean():
    given = {"nginx_ipv6": "no", "nginx_exporter": "off", "nginx_private_paths": "/metrics, /admin"}
    settings = examined("nginx", {"nginx_sites": [SITE], "nginx_worker_connections": "512", **given}).settings
    assert {name: settings[name] for name in (*given, "nginx_worker_connections")} == {
        "nginx_ipv6": False,
        "nginx_exporter": False,
        "nginx_private_paths": ["/metrics", "/admin"],
        "nginx_worker_connections": 512,
    }
    assert "nginx_acme_dns_credentials" not in settings


def maintenance(**parameters):
    values = {"nginx_sites": [SITE], **parameters}
    view = view_of("nginx", values)
    return examine("nginx", view.variables.__getitem__, view, "maintenance")


@pytest.mark.parametrize(
    ("parameters", "sentences"),
    [
        ({}, ["Write -e state=on or -e state=off."]),
        ({"state": "maybe"}, ["Write -e state=on or -e state=off."]),
        ({"state": "on", "site": "blog"}, ["site is blog; write one of shop."]),
        ({"state": "on", "retry_after": "soon"}, ["retry_after is soon; write seconds, such as 300."]),
        ({"state": "on", "retry_after": 0}, ["retry_after is 0; write seconds, such as 300."]),
        (
            {"state": "off", "allow": "office, 10.0.0.0/8"},
            ["allow has office; write addresses or networks, such as 192.0.2.7,10.0.0.0/8."],
        ),
    ],
)
def test_a_maintenance_is_refused_where_it_is_not_clear_what_is_meant(parameters, sentences):
    assert maintenance(**parameters).problems == sentences


@pytest.mark.parametrize(("state", "meant"), [("on", "on"), (True, "on"), ("off", "off"), (False, "off")])
def test_a_maintenance_is_for_all_sites_unless_one_is_named(state, meant):
    asked = maintenance(state=state, allow="192.0.2.7, 10.0.0.0/8").derived
    assert (asked["state"], asked["sites"], asked["retry_after"]) == (meant, ["shop"], 300)
    assert asked["allow"] == ["192.0.2.7", "10.0.0.0/8"]
    assert maintenance(state=state, site="shop", retry_after="60").derived["retry_after"] == "60"
