"""What is served already is read from the files, goes on being served, or is refused by file and line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._nginx.existing import (
    existing,
    included,
    speaks_proxy_protocol,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.nginx_existing import existing_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.nginx_plan import OWN, Choices, Plan, edited, plan

MAIN = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;

events {
	worker_connections 768;
	# multi_accept on;
}

http {
	sendfile on;
	gzip on;
	include /etc/nginx/conf.d/*.conf;
	include /etc/nginx/sites-enabled/*;
}

#mail { }
"""
DEFAULT = "server {\n\tlisten 80 default_server;\n\tlisten [::]:80 default_server;\n\tserver_name _;\n}\n"
LEGACY = "server {\n  listen 80;\n  server_name legacy.example.org Old.Example.org;\n}\n"
SECURE = "server {\n  listen 443 ssl;\n  server_name secure.example.org;\n}\n"
SHOP = {"name": "shop", "domains": ["shop.example.com"]}
FREE = ["80", "[::]:80"], ["443 ssl", "[::]:443 ssl"]

Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """What is found on a host with Nginx of the package, and these files below /etc/nginx besides."""

    def found(ours: tuple[str, ...] = (), default: bool = True, main: str = MAIN, **files: str) -> dict[str, Any]:
        root = tmp_path
        texts = {"nginx.conf": main, "sites-available/default": DEFAULT} | files
        for path, text in texts.items():
            (root / "etc/nginx" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "etc/nginx" / path).write_text(text)
        (root / "etc/nginx/sites-enabled").mkdir(exist_ok=True)
        if default:
            (root / "etc/nginx/sites-enabled/default").symlink_to("../sites-available/default")
        if ours:
            (root / "var/lib/production.fastapi").mkdir(parents=True)
            manifest = {"files": {f"/etc/nginx/{path}": {} for path in ours}}
            (root / "var/lib/production.fastapi/nginx.json").write_text(json.dumps(manifest))
        digests = {
            path: hashlib.md5(text.encode()).hexdigest()
            for path, text in (("nginx.conf", MAIN), ("sites-available/default", DEFAULT))
        }
        status = "".join(f" /etc/nginx/{path} {digest}\n" for path, digest in digests.items())
        return existing(root, f"Package: nginx-common\nConffiles:\n{status}")

    return found


def doors(made: Plan) -> tuple[list[str], list[str], list[str], list[str]]:
    return made.http_doors, made.tls_doors, made.own_http_doors, made.own_tls_doors


def problems(found: dict[str, Any], **choices: Any) -> list[str]:
    return existing_problems(found, [SHOP], Choices(**choices))


def test_a_fresh_host_has_nothing_that_is_kept(read: Read) -> None:
    found = read()
    made = plan(found, Choices())
    assert (found["main_is_package"], found["default_site"], problems(found)) == (True, "package", [])
    assert (made.default_gives_way, made.shared) == (True, False)
    assert doors(made) == (*FREE, *FREE)
    assert made.main_settings == ["worker_rlimit_nofile 9216", "worker_shutdown_timeout 1h"]


def test_nginx_conf_gets_two_includes_and_the_number_of_connections(read: Read) -> None:
    text = plan(read(), Choices(worker_connections=512)).main
    assert text.startswith("# The file of the package")
    assert (
        "include production.fastapi/main.conf;\n\nevents {\n\tworker_connections 512;\n\t# multi_accept on;\n}\n"
        in text
    )
    assert "\tinclude production.fastapi/http.conf;\n}\n\n#mail { }\n" in text
    assert text.index("sites-enabled") < text.index("http.conf")
    added = ("The file of the package", "production.fastapi/", "worker_connections", "Last, so that")
    kept = [line for line in text.splitlines() if line and not any(word in line for word in added)]
    assert kept == [line for line in MAIN.splitlines() if line and "worker_connections" not in line]


def test_a_number_that_is_not_written_is_added_and_a_file_without_blocks_is_none() -> None:
    assert "events {\n\tworker_connections 7; }" in edited("events { }\nhttp { }\n", 7)
    with pytest.raises(ValueError, match="no blocks"):
        edited("events { }\n", 7)


def test_a_site_of_theirs_goes_on_and_the_page_of_the_package_with_it(read: Read) -> None:
    found = read(**{"sites-enabled/legacy": LEGACY})
    made = plan(found, Choices())
    assert problems(found) == []
    assert (made.default_gives_way, made.shared, made.access_log) == (
        False,
        True,
        "/var/log/nginx/production.fastapi.log",
    )
    # Whoever answered for names that no site has still does: on port 80, and nobody did on 443.
    assert doors(made) == (*FREE, [], FREE[1])
    assert made.main_settings == ["worker_rlimit_nofile 9216"]


def test_a_site_that_lives_from_being_the_first_stays_the_first(read: Read) -> None:
    made = plan(read(default=False, **{"sites-enabled/legacy": LEGACY, "conf.d/secure.conf": SECURE}), Choices())
    assert doors(made) == (*FREE, ["[::]:80"], ["[::]:443 ssl"])


def test_a_changed_page_of_the_package_is_a_site_of_theirs(read: Read) -> None:
    found = read(**{"sites-available/default": DEFAULT.replace("_", "www.example.org")})
    assert (found["default_site"], plan(found, Choices()).own_http_doors) == ("theirs", [])


def test_what_has_given_way_stays_away_until_we_leave(read: Read) -> None:
    found = read(ours=("sites-enabled/default",), **{"sites-enabled/legacy": LEGACY})
    assert plan(found, Choices()).default_gives_way


def test_a_page_that_was_not_served_is_not_brought_back(read: Read) -> None:
    """An earlier version has taken nginx.conf over, and with it all sites of others off the air."""
    found = read(
        ours=("nginx.conf",), main="events { }\nhttp { include sites/*.conf; }\n", **{"sites-enabled/legacy": LEGACY}
    )
    assert found["main"] == ""
    assert not found["default_site_served"]


def test_without_nginx_or_with_drop_the_file_is_our_own(read: Read) -> None:
    for found, choices in (({}, Choices()), (read(**{"sites-enabled/legacy": LEGACY}), Choices(keep=False))):
        made = plan(found, choices)
        assert made.main == edited(OWN, 4096)
        assert (made.shared, made.default_gives_way, existing_problems(found, [SHOP], choices)) == (False, False, [])


def test_addresses_of_theirs_are_listened_on_as_well(read: Read) -> None:
    site = LEGACY.replace("listen 80;", "listen 80;\n  listen 192.0.2.1:80;\n  listen *:8080;\n  listen unix:/run/x;")
    made = plan(read(default=False, **{"sites-enabled/legacy": site}), Choices(ipv6=False))
    assert (made.http_doors, made.own_http_doors) == (["80", "192.0.2.1:80"], [])


def test_one_socket_for_both_families_is_shared(read: Read) -> None:
    site = LEGACY.replace("listen 80;", "listen [::]:80 ipv6only=off;")
    assert plan(read(default=False, **{"sites-enabled/legacy": site}), Choices()).http_doors == ["[::]:80"]


@pytest.mark.parametrize(("listen", "ours"), [("443 ssl", "443 ssl"), ("443 ssl http2", "443 ssl http2")])
def test_before_1_25_theirs_say_whether_the_address_speaks_http_2(read: Read, listen: str, ours: str) -> None:
    made = plan(read(**{"conf.d/x.conf": SECURE.replace("443 ssl", listen)}), Choices(http2_directive=False))
    assert made.tls_doors == [ours, "[::]:443 ssl http2"]


def test_settings_that_are_theirs_are_not_written_twice(read: Read) -> None:
    text = "server_names_hash_bucket_size 128;\n"
    made = plan(read(**{"conf.d/hash.conf": text, "modules-enabled/x.conf": "worker_rlimit_nofile 5;\n"}), Choices())
    assert made.http_settings == ["variables_hash_bucket_size 128"]
    assert made.main_settings == ["worker_shutdown_timeout 1h"]


def test_includes_are_followed_and_ours_are_not_theirs(read: Read) -> None:
    site = "server {\n  include snippets/listen.conf;\n  server_name a.example.org;\n}\n"
    ours = "production.fastapi/sites/shop.conf"
    found = read(
        default=False,
        main=MAIN.replace("gzip on;", "gzip on;\n\tinclude production.fastapi/sites/*.conf;"),
        **{"sites-enabled/a": site, "snippets/listen.conf": "listen 8080;\n", ours: LEGACY},
    )
    assert [(server["file"], server["names"]) for server in found["servers"]] == [
        ("/etc/nginx/sites-enabled/a", ["a.example.org"])
    ]
    assert [listen["port"] for listen in found["servers"][0]["listens"]] == [8080]


def test_whole_and_relative_paths_are_included(tmp_path: Path) -> None:
    for name in ("b.conf", "A.conf", ".hidden.conf"):
        (tmp_path / "etc/nginx/conf.d").mkdir(parents=True, exist_ok=True)
        (tmp_path / "etc/nginx/conf.d" / name).touch()
    expected = ["/etc/nginx/conf.d/A.conf", "/etc/nginx/conf.d/b.conf"]
    for pattern in ("conf.d/*.conf", "/etc/nginx/conf.d/*.conf"):
        assert list(included(tmp_path, pattern)) == expected
    assert list(included(Path("/"), "/etc/passwd")) == ["/etc/passwd"]
    assert list(included(Path("/"))) == []


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "a setting in nginx.conf": (
        {"nginx.conf": MAIN.replace("gzip on;", "gzip on;\n\tclient_max_body_size 50m;")},
        "/etc/nginx/nginx.conf, line 15: `client_max_body_size 50m` is not in the package's nginx.conf",
    ),
    "another folder in nginx.conf": (
        {"nginx.conf": MAIN.replace("conf.d", "vhosts")},
        "/etc/nginx/nginx.conf, line 15: `include /etc/nginx/vhosts/*.conf` is not in the package's nginx.conf",
    ),
    "another number in nginx.conf": (
        {"nginx.conf": MAIN.replace("768", "1024")},
        "/etc/nginx/nginx.conf, line 8: `worker_connections 1024` is not in the package's nginx.conf",
    ),
    "a site in nginx.conf": (
        {"nginx.conf": MAIN.replace("gzip on;", "gzip on;\n\tserver { listen 81; }")},
        "/etc/nginx/nginx.conf, line 15: this is not in the package's nginx.conf",
    ),
    "an nginx.conf that is none": ({"nginx.conf": MAIN + "}\n"}, "/etc/nginx/nginx.conf, line 20: this is not"),
    "a name of ours": (
        {"sites-enabled/x": LEGACY.replace("legacy.example.org", "SHOP.example.com")},
        "/etc/nginx/sites-enabled/x, line 1: shop.example.com is a domain of the site shop",
    ),
    "a name with all below it": (
        {"sites-enabled/x": LEGACY.replace("legacy.example.org", ".shop.example.com")},
        "shop.example.com is a domain of the site shop",
    ),
    "no TLS on 443": (
        {"sites-enabled/x": LEGACY.replace("80", "443")},
        "/etc/nginx/sites-enabled/x, line 2: port 443 speaks no TLS there",
    ),
    "TLS on 80": ({"sites-enabled/x": LEGACY.replace("80", "80 ssl")}, "line 2: port 80 speaks TLS there"),
    "the PROXY protocol": (
        {"sites-enabled/x": LEGACY.replace("80", "80 proxy_protocol")},
        "line 2: port 80 uses the PROXY protocol there, and nginx_trusted_proxies_header does not",
    ),
    "a single address": (
        {"sites-enabled/x": SECURE.replace("443", "192.0.2.1:443")},
        "line 2: Nginx listens on 192.0.2.1 alone, and cannot add the other addresses of port 443 while it runs",
    ),
    "a stream": (
        {"modules-enabled/x.conf": "stream {\n  server {\n    listen 443;\n  }\n}\n"},
        "/etc/nginx/modules-enabled/x.conf, line 3: a stream has port 443",
    ),
    "a setting that our sites would have": (
        {"conf.d/x.conf": "\nauth_basic Internal;\n"},
        "/etc/nginx/conf.d/x.conf, line 2: auth_basic would apply to our sites as well",
    ),
    "whom to believe about clients": (
        {"conf.d/x.conf": "set_real_ip_from 0.0.0.0/0;\nreal_ip_header X-Forwarded-For;\n"},
        "/etc/nginx/conf.d/x.conf, line 1: set_real_ip_from would apply to our sites as well; move it into the server "
        "blocks that need it, or set nginx_trusted_proxies for ours.",
    ),
    "a list of the files in a folder": ({"conf.d/x.conf": "autoindex on;\n"}, "line 1: autoindex would apply"),
    "pages of the app that browsers keep": ({"conf.d/x.conf": "expires 1h;\n"}, "line 1: expires would apply"),
    "a limit of theirs": ({"conf.d/x.conf": "limit_req zone=a;\n"}, "line 1: limit_req would apply"),
    "requests that can be sent again": ({"conf.d/x.conf": "ssl_early_data on;\n"}, "ssl_early_data would apply"),
    "a variable of ours": (
        {"conf.d/x.conf": "map $a $fastapi_upgrade { }\n"},
        "/etc/nginx/conf.d/x.conf, line 1: $fastapi_upgrade: names that begin with fastapi_ are",
    ),
    "a zone of ours": (
        {"conf.d/x.conf": "limit_req_zone $a zone=fastapi_clients:1m rate=1r/s;\n"},
        "zone=fastapi_clients:1m: names that begin",
    ),
    "a file that is none": ({"conf.d/x.conf": "a;\nb"}, "/etc/nginx/conf.d/x.conf, line 2: Nginx cannot read this"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused_by_file_and_line(read: Read, case: str) -> None:
    files, sentence = REFUSED[case]
    found = read(
        main=files.get("nginx.conf", MAIN), **{path: text for path, text in files.items() if path != "nginx.conf"}
    )
    (said,) = problems(found)
    assert sentence in said
    assert problems(found, keep=False) == []


def test_what_does_nothing_to_our_sites_is_kept(read: Read) -> None:
    harmless = "auth_basic off;\nexpires off;\nproxy_redirect off;\nsatisfy all;\nlimit_rate 0;\nmerge_slashes on;\n"
    trust = "set_real_ip_from 192.0.2.0/24;\nreal_ip_header CF-Connecting-IP;\n"
    found = read(**{"conf.d/x.conf": harmless, "conf.d/y.conf": trust})
    assert [line.split(":")[0] for line in problems(found)] == ["/etc/nginx/conf.d/y.conf, line 1"]
    assert problems(found, trusts_proxies=True) == []


def test_an_nginx_conf_with_other_comments_is_still_that_of_the_package(read: Read) -> None:
    assert problems(read(main=f"# mine\n{MAIN}")) == []


def test_the_user_of_other_packages_does_not_reach_the_sockets(read: Read) -> None:
    found = read(main=MAIN.replace("www-data", "nginx")) | {"main_is_package": True}
    assert "line 1: Nginx runs as nginx, and the sockets of apps are for www-data" in problems(found)[0]


def test_a_name_on_a_port_of_its_own_is_no_clash(read: Read) -> None:
    site = LEGACY.replace("80", "8080").replace("legacy.example.org", "shop.example.com")
    assert problems(read(**{"sites-enabled/x": site})) == []


def test_domains_that_are_no_list_are_refused_elsewhere(read: Read) -> None:
    found = read(**{"sites-enabled/x": LEGACY})
    assert existing_problems(found, [{"name": "a"}, {"name": "b", "domains": "b"}], Choices()) == []


@pytest.mark.parametrize(
    ("listens", "speaks"),
    [
        ("listen 443 ssl; listen 80 proxy_protocol;", False),
        ("listen 443 ssl proxy_protocol;", True),
        ("listen [::]:443 proxy_protocol ssl;", True),
        ("# listen 443 ssl proxy_protocol;", False),
    ],
)
def test_a_port_of_the_proxy_protocol(read: Read, tmp_path: Path, listens: str, speaks: bool) -> None:
    main = MAIN.replace("sites-enabled/*", "production.fastapi/http.conf")  # where our sites are
    read(main=main, **{"production.fastapi/http.conf": f"server {{\n  {listens}\n}}\n"})
    assert speaks_proxy_protocol(tmp_path, 443) is speaks
    assert not speaks_proxy_protocol(tmp_path, 8443)


def test_without_nginx_nothing_speaks_the_proxy_protocol(tmp_path: Path) -> None:
    assert not speaks_proxy_protocol(tmp_path, 443)
