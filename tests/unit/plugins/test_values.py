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


RULES: dict[str, tuple[list[Any], list[Any]]] = {
    "checksum": (
        [f"sha256:{'0af' * 21}0"],
        ["", "0" * 64, f"sha256:{'0' * 63}", f"sha256:{'A' * 64}", f"sha512:{'0' * 64}"],
    ),
    "package": (["shop", "A", "zope.interface", "my_app-2"], ["", "-shop", "shop-", "shop[extra]", "shop==1", "a b"]),
    "package_version": (["1", "1.2.3", "2!1.0+local-1", 1.5], ["", "v1", "latest", "1 2", ">=1"]),
    "python": (["3.9", "3.12"], ["", "3", "3.12.1", "2.7", "3.x", "03.1"]),
    "index": (
        ["private", "a.b_c-1", "https://index.example.com/simple", "http://10.0.0.1"],
        ["", "-a", "a b", "ftp://index.example.com", "https://", "https:///simple"],
    ),
    "netrc_word": (["bot", "s3cr3t!", "a#b", 7], ["", "#a", "a b", 'a"b', "a'b", "a\\b", "a\n"]),
    "text": (["a", "a b", "#", "ä"], ["", "a\nb", "\x00", "a\x7f"]),
    "segment": (["uploads", "notes.db", "a@b", "..."], ["", ".", "..", "a b", "a/b", "a\n"]),
    "rate": (["1/s", "999999/m"], ["", "0/s", "10", "1/h", "1000000/s", "1/s ", "-1/s"]),
    "hash_key": (["$cookie_session", "a$b-$c"], ["", "cookie", "$", "$a b", "$a;", '$a"', "${a}"]),
    "asked_path": (["/", "/healthz?full=1", "//"], ["", "healthz", "/a b", "/ä", "/\n"]),
    "authority": (["https://acme.example.com/directory"], ["", "https://", "http://acme.example.com", "https://a b"]),
    "dns_plugin": (["rfc2136", "a-b"], ["", "Route53", "a_b", "a b", "a;b"]),
}


@pytest.mark.parametrize(("rule", "value"), [(rule, value) for rule, (good, _bad) in RULES.items() for value in good])
def test_what_a_rule_takes_is_returned_as_text(rule: str, value: Any) -> None:
    assert getattr(values, rule)(value) == str(value)


@pytest.mark.parametrize(("rule", "value"), [(rule, value) for rule, (_good, bad) in RULES.items() for value in bad])
def test_what_is_nearly_that_is_nothing(rule: str, value: Any) -> None:
    assert getattr(values, rule)(value) is None


@pytest.mark.parametrize(
    ("value", "meant"),
    [(1, (1, False)), ("20", (20, False)), ("1%", (1, True)), ("100%", (100, True)), (250, (250, False))]
    + [(value, None) for value in ("", 0, "0%", "101%", "-1", "1.5", "50 %", "half", True)],
)
def test_a_batch_is_a_number_or_a_share(value: Any, meant: tuple[int, bool] | None) -> None:
    assert values.batch(value) == meant


@pytest.mark.parametrize(
    ("value", "is_one"), [("word", True), ("", True), ("a b", False), ("a\t", False), ("\n", False)]
)
def test_a_word_has_no_spaces(value: str, is_one: bool) -> None:
    assert values.is_word(value) is is_one
