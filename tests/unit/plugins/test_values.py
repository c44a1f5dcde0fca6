"""What a value of a setting may be: each rule with what it takes, and with what is nearly that."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values

NOTHING = ["", None, [], {}, ["10.0.0.1"], " ", "\n"]


@pytest.mark.parametrize(
    "value", ["10.0.0.5", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::5", "::ffff:1.2.3.4"]
)
def test_addresses(value: str) -> None:
    assert values.address(value) == ip_address(value)


@pytest.mark.parametrize(
    "value",
    [
        *NOTHING,
        *(
            "300.0.0.5",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.4 ",
            "1.2.3.4\n",
            "10.0.0.0/8",
            "10.0.0.5:80",
        ),
        *("[::1]", "::zz", ":::", "1:2:3:4:5:6:7:8:9", "fe80::1%eth0", "host", "app1.example.com", "*"),
        *(167772165, 0, True, 1.5, b"\x0a\x00\x00\x05"),
    ],
    ids=repr,
)
def test_what_is_no_address(value: Any) -> None:
    assert values.address(value) is None


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("10.0.0.5", "10.0.0.5/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.5/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.5/32", "10.0.0.5/32"),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:db8::5", "2001:db8::5/128"),
        ("2001:db8::5/128", "2001:db8::5/128"),
    ],
)
def test_networks(value: str, meant: str) -> None:
    assert values.network(value) == ip_network(meant)


@pytest.mark.parametrize(
    "value",
    [
        *NOTHING,
        *(
            "999.0.0.0/99",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/8/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/x",
        ),
        *("::/129", "::zz", "::zz/32", "fe80::1%eth0/64", "10.0.0.0/ 8", "office", "*", "300.0.0.1", 10, True),
    ],
    ids=repr,
)
def test_what_is_no_network(value: Any) -> None:
    assert values.network(value) is None


@pytest.mark.parametrize(
    ("value", "where", "port"),
    [
        ("10.0.0.5:6379", "10.0.0.5", 6379),
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("[2001:db8::5]:65535", "2001:db8::5", 65535),
        ("[::]:80", "::", 80),
    ],
)
def test_endpoints(value: str, where: str, port: int) -> None:
    assert values.endpoint(value) == (ip_address(where), port)


@pytest.mark.parametrize(
    "value",
    [
        *NOTHING,
        *("300.0.0.5:6379", "10.0.0.5", "10.0.0.5:", ":6379", "6379", "10.0.0.5:0", "10.0.0.5:65536", "10.0.0.5:70000"),
        *(
            "10.0.0.5:-1",
            "10.0.0.5:x",
            "10.0.0.5:80 ",
            "[10.0.0.5]:80",
            "2001:db8::5:80",
            "[2001:db8::5]",
            "[::1:80",
            "::1]:80",
        ),
        *(
            "localhost:80",
            "redis1:6379",
            "unix:/run/x.sock",
            "10.0.0.5:80:80",
            "[]:80",
            "10.0.0.0/8:80",
            "[fe80::1%eth0]:80",
            80,
        ),
    ],
    ids=repr,
)
def test_what_is_no_endpoint(value: Any) -> None:
    assert values.endpoint(value) is None


@pytest.mark.parametrize(
    "value", ["/", "/srv/shop", "/srv/shop/", "/srv/%i/src", "/a.b/..data/c-d_e~", "/srv/größe", "/a$b"]
)
def test_paths(value: str) -> None:
    assert values.path(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *NOTHING,
        "srv",
        "./srv",
        "~/srv",
        "/a b",
        "/a\tb",
        "/a\nb",
        "/a\n",
        '/a"b',
        "/a'b",
        "/a\\b",
        "/a\0b",
        "/..",
        "/a/../b",
        "/a/..",
        1,
    ],
    ids=repr,
)
def test_what_is_no_path(value: Any) -> None:
    assert values.path(value) is None


@pytest.mark.parametrize("value", ["a", "shop", "shop-2", "a" * 31, "a-", "a--b"])
def test_names(value: str) -> None:
    assert values.name(value) == value


@pytest.mark.parametrize(
    "value",
    [*NOTHING, "Shop", "2shop", "-shop", "shop_", "shop.api", "shop\n", "größe", "a" * 32, "my app", "../x", 1, True],
    ids=repr,
)
def test_what_is_no_name(value: Any) -> None:
    assert values.name(value) is None


@pytest.mark.parametrize(
    "value", ["main:app", "shop.main:app", "shop.main:create.app", "_a.b2:_c", "A:B", "main:app()"]
)
def test_entrypoints(value: str) -> None:
    assert values.entrypoint(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *NOTHING,
        "a..b:c",
        "a.:b",
        ".a:b",
        "a:b.",
        "a:.b",
        "a:b..c",
        "main",
        "main:",
        ":app",
        "a:b:c",
        "main:app(1)",
        "a b:c",
        "a:b\n",
        "2a:b",
        "ä:b",
    ],
    ids=repr,
)
def test_what_is_no_entrypoint(value: Any) -> None:
    assert values.entrypoint(value) is None


@pytest.mark.parametrize(
    ("value", "meant"), [(0, 0), ("0", 0), (7, 7), ("7", 7), ("007", 7), (10, 10), ("10", 10), (-3, -3), ("-3", -3)]
)
def test_numbers(value: Any, meant: int) -> None:
    found = values.number(value, -3, 10)
    assert (found, type(found)) == (meant, int)


@pytest.mark.parametrize(
    "value",
    [
        *NOTHING,
        11,
        "11",
        -4,
        "-4",
        1.5,
        1.0,
        "1.0",
        "1e1",
        "0x1",
        "1_0",
        "+1",
        " 1",
        "1\n",
        "٣",
        "64mb",
        "one",
        True,
        False,
    ],
    ids=repr,
)
def test_what_is_no_number_within_the_bounds(value: Any) -> None:
    assert values.number(value, -3, 10) is None


@pytest.mark.parametrize(
    "value", [True, "true", "True", "TRUE", "yes", "Yes", "on", "ON", "y", "t", "1", 1, 1.0, " yes "], ids=repr
)
def test_yes(value: Any) -> None:
    assert values.boolean(value) is True


@pytest.mark.parametrize("value", [False, "false", "False", "no", "No", "off", "OFF", "n", "f", "0", 0, 0.0], ids=repr)
def test_no(value: Any) -> None:
    assert values.boolean(value) is False


@pytest.mark.parametrize("value", [*NOTHING, "maybe", "2", 2, -1, 0.5, "yes!", "nope", "none", "01", "1.0"], ids=repr)
def test_what_is_neither_yes_nor_no(value: Any) -> None:
    assert values.boolean(value) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (90, 90),
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("12h", 43200),
        ("30d", 2592000),
        ("2w", 1209600),
        ("1M", 2592000),
        ("1y", 31536000),
    ],
)
def test_durations(value: Any, seconds: int) -> None:
    assert values.duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [*NOTHING, -1, "-1s", 1.5, "1.5h", "h", "1 h", "1h30m", "1D", "1ms", "soon", "max", "1h\n", "٣s", True, "9" * 10],
    ids=repr,
)
def test_what_is_no_duration(value: Any) -> None:
    assert values.duration(value) is None
