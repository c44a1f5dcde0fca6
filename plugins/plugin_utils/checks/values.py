# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a value of a setting may be: an address, a network, a path, a name, a number. Each rule stands here alone.

Each function takes a value as it comes from an inventory, a text as well as a number or a boolean, and returns what it
means, or None where it means nothing of the kind. None of them raises an error.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TRUE = frozenset({"true", "yes", "on", "y", "t", "1"})
FALSE = frozenset({"false", "no", "off", "n", "f", "0"})
# Seconds of a unit, as Nginx writes them; a month has 30 days and a year 365.
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "M": 30 * 86400, "y": 365 * 86400}

# Of a domain name; its last label has a letter in it. Names of internal sites may have a single label, as intranet, and
# underscores; an authority knows neither.
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
DOMAIN = re.compile(rf"(\*\.)?({LABEL}\.)*(?=[a-z0-9_-]*[a-z]){LABEL}", re.IGNORECASE)
SITE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
PLAIN_PATH = re.compile(r"(/[\w.~-]+)*/?", re.ASCII)
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
SIZE = re.compile(r"[0-9]+[kKmMgG]?")
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
PATH = re.compile(r"/[^\s\"'\\\x00-\x1f\x7f]*")
SOCKET = re.compile(r"unix:(/[^\s%;{}:$\"'\\]+)")
URL_PATH = re.compile(r"/[^\s?#]*")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
RELEASE = re.compile(r"[a-z0-9][a-z0-9.-]*")
CHECKSUM = re.compile("sha256:[0-9a-f]{64}")
PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
PACKAGE_VERSION = re.compile(r"[0-9][A-Za-z0-9.+!_-]*")
PYTHON = re.compile(r"3\.[0-9]+")
INDEX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# A netrc file has words without spaces, and nobody agrees on how it quotes.
NETRC_WORD = re.compile(r"[^\s\"'\\#][^\s\"'\\]*")
SEGMENT = re.compile(r"[\w@.-]+")
BATCH = re.compile(r"([1-9][0-9]*)(%?)")
RATE = re.compile(r"([1-9]\d{0,5})/([sm])")
HASH_KEY = re.compile(r"[^\s;{}\"'\\]*\$[^\s;{}\"'\\]+")
ASKED_PATH = re.compile("/[!-~]*")
AUTHORITY = re.compile(r"https://[^ ]+")
DNS_PLUGIN = re.compile("[a-z0-9-]+")
ENTRYPOINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?", re.ASCII)


class Endpoint(NamedTuple):
    """Where something listens: an IP address of the host and a port from 1 to 65535."""

    address: Address
    port: int


class Batch(NamedTuple):
    """A number of servers, or a share of them in percent."""

    number: int
    is_share: bool


def address(value: Any) -> Address | None:
    """An IP address, `10.0.0.5` or `2001:db8::5`: no name, no network, no zone, no brackets."""
    if not isinstance(value, str) or "%" in value:
        return None  # a number would be an address to ipaddress
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None


def bare_address(value: str) -> Address | None:
    """An IP address, with or without the brackets that an IPv6 address has before a port."""
    return address(value.removeprefix("[").removesuffix("]"))


def network(value: Any) -> Network | None:
    """An IP address, or a network with the length of its prefix, `10.0.0.0/8`; bits behind the prefix do not count."""
    if not isinstance(value, str) or "%" in value:
        return None
    base, slash, length = value.partition("/")
    if slash and number(length, 0, 128) is None:
        return None  # a netmask, which neither Nginx nor systemd would take
    try:
        return ipaddress.ip_network(f"{base}{slash}{length}", strict=False)
    except ValueError:
        return None


def endpoint(value: Any) -> Endpoint | None:
    """An address and a port, `10.0.0.5:8000` or `[2001:db8::5]:8000`."""
    host, colon, port = str(value).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    where = address(host[1:-1] if bracketed else host)
    which = number(port, 1, 65535)
    if not colon or where is None or which is None or bracketed != (where.version == 6):
        return None
    return Endpoint(where, which)


def socket(value: Any) -> str | None:
    """The path of a Unix socket that is written as `unix:/PATH`, which Nginx, Gunicorn and systemd all take."""
    found = SOCKET.fullmatch(str(value))
    return found[1] if found else None


def url_path(value: Any) -> str | None:
    """The path of a URL such as `/ready`, without a query and a fragment."""
    return value if isinstance(value, str) and URL_PATH.fullmatch(value) else None


def path(value: Any) -> str | None:
    """An absolute path without spaces, quotes, backslashes and control characters, and without `..`."""
    if not isinstance(value, str) or not PATH.fullmatch(value) or ".." in value.split("/"):
        return None
    return value


def name(value: Any) -> str | None:
    """A name of an app, and so of its user and its units: up to 31 of a-z, 0-9 and hyphen, a letter first."""
    return value if isinstance(value, str) and NAME.fullmatch(value) else None


def is_one_line(text: str) -> bool:
    """Whether a text has no line break and no other control character."""
    return not CONTROL.search(text)


def release(value: Any) -> str | None:
    """The name of a release: lower-case letters, digits, dots and dashes."""
    return value if isinstance(value, str) and RELEASE.fullmatch(value) else None


def domain(value: str) -> str | None:
    """A domain name or a wildcard such as `*.example.com`, other alphabets in punycode."""
    return value if len(value) <= 253 and DOMAIN.fullmatch(value) else None


def site_name(value: str) -> str | None:
    """The name of a site: lower-case letters, digits, hyphen and underscore, a letter first."""
    return value if SITE_NAME.fullmatch(value) else None


def plain_path(value: Any) -> str | None:
    """A path of URLs such as `/api/upload` that Nginx takes without quotes; no `//` and no `..` in it."""
    text = str(value)
    if not text.startswith("/") or not PLAIN_PATH.fullmatch(text) or {".", ".."} & set(text.split("/")):
        return None
    return text


def header(value: Any) -> str | None:
    """The name of a header, such as `X-Forwarded-For`."""
    return value if isinstance(value, str) and HEADER.fullmatch(value) else None


def size(value: Any) -> str | None:
    """A number of bytes as Nginx takes it, with k, m or g."""
    return str(value) if SIZE.fullmatch(str(value)) else None


def checksum(value: Any) -> str | None:
    """A SHA-256, as `sha256:` and 64 hexadecimal digits."""
    return str(value) if CHECKSUM.fullmatch(str(value)) else None


def package(value: Any) -> str | None:
    """The name of a package of Python."""
    return str(value) if PACKAGE.fullmatch(str(value)) else None


def package_version(value: Any) -> str | None:
    """The version of a package of Python, such as `1.2.3`."""
    return str(value) if PACKAGE_VERSION.fullmatch(str(value)) else None


def python(value: Any) -> str | None:
    """A version of Python, such as `3.12`."""
    return str(value) if PYTHON.fullmatch(str(value)) else None


def index(value: str) -> str | None:
    """The name of an index of packages, or its URL with a host."""
    if "://" in value:
        return value if is_http(value) and urlsplit(value).hostname else None
    return value if INDEX.fullmatch(value) else None


def is_http(url: str) -> bool:
    """Whether a URL is one of HTTP, with TLS or without."""
    return url.startswith(("http://", "https://"))


def netrc_word(value: Any) -> str | None:
    """A user name or a password as a file .netrc takes it."""
    return str(value) if NETRC_WORD.fullmatch(str(value)) else None


def text(value: Any) -> str | None:
    """A text of one line that is not empty."""
    return str(value) if str(value) and is_one_line(str(value)) else None


def is_word(value: str) -> bool:
    """Whether a text has no spaces, tabs and line ends; an empty one has none."""
    return value == "".join(value.split())


def segment(value: str) -> str | None:
    """A part of a path below a folder: letters, digits, `_`, `@`, dot and hyphen, but neither `.` nor `..`."""
    return value if SEGMENT.fullmatch(value) and value not in (".", "..") else None


def batch(value: Any) -> Batch | None:
    """How many servers deploy together: a number from 1, or a share up to `100%`."""
    found = BATCH.fullmatch(str(value))
    if found is None or (found[2] and int(found[1]) > 100):
        return None
    return Batch(int(found[1]), bool(found[2]))


def rate(value: Any) -> str | None:
    """Requests a second or a minute, such as `10/s` or `5/m`."""
    return str(value) if RATE.fullmatch(str(value)) else None


def hash_key(value: str) -> str | None:
    """What Nginx makes a hash of: a word with a variable in it, such as `$cookie_session`."""
    return value if HASH_KEY.fullmatch(value) else None


def asked_path(value: str) -> str | None:
    """What a client asks for, such as `/healthz?full=1`, in the characters that a request has."""
    return value if ASKED_PATH.fullmatch(value) else None


def authority(value: str) -> str | None:
    """The address of an ACME directory, which has TLS."""
    return value if AUTHORITY.fullmatch(value) else None


def dns_plugin(value: str) -> str | None:
    """The NAME of a package python3-certbot-dns-NAME."""
    return value if DNS_PLUGIN.fullmatch(value) else None


def entrypoint(value: Any) -> str | None:
    """An app in a module, `shop.main:app`, or what makes it, `shop.main:create_app()`."""
    return value if isinstance(value, str) and ENTRYPOINT.fullmatch(value) else None


def number(value: Any, lowest: int, highest: int) -> int | None:
    """A whole number within bounds, as a number or in digits; a boolean is none."""
    if not re.fullmatch(r"-?[0-9]{1,18}", str(value), re.ASCII):
        return None
    return int(value) if lowest <= int(value) <= highest else None


def decimal(value: Any) -> float | None:
    """A number, as a number or as a text; a boolean, infinity and what is not a number are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def boolean(value: Any) -> bool | None:
    """Yes or no, as YAML, INI and command lines have them: false, "no", off, 0, in any case of letters."""
    if isinstance(value, float) and not value.is_integer():
        return None
    text = str(int(value) if isinstance(value, float) else value).strip().lower()
    return True if text in TRUE else False if text in FALSE else None


def duration(value: Any) -> int | None:
    """Whole seconds: a number, or one with a unit, such as 30s, 12h, 7d or 1y."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdwMy]?)", str(value), re.ASCII)
    return int(found[1]) * UNITS[found[2]] if found else None
