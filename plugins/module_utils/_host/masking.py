# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Masks secrets in whatever an app, or a program of its release, has printed, before anybody sees it.

All text of an app goes through `mask`: its log after a failed switch, what its commands print, what a build prints.
`tests/unit/plugins/test_masking.py` looks for places that show such text without it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASK = "********"

# A value shorter than this is not a secret, and masking it would make every message unreadable.
SHORTEST_SECRET = 4

# Settings that many apps have, and that their messages are made of.
WORDS = {
    "true",
    "false",
    "none",
    "null",
    "auto",
    "utf-8",
    "trace",
    "debug",
    "info",
    "warn",
    "warning",
    "error",
    "critical",
}
WORDS |= {"fatal", "development", "staging", "production", "test", "testing", "local", "localhost", "fastapi"}
LONGEST_PLAIN_NUMBER = 5  # digits, of a port or a size

# User name and password of a URL; the name git of ssh://git@host is public.
USERINFO = r"(?<=://)(?!git@)[^/?#\s]+@"

# Settings inside a value, of a query or of a connection string, that are secrets by their name.
SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|sig|cred|auth", re.IGNORECASE)
ASSIGNED = re.compile(r"(\w+)\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s;,&'\"]+))")

# What `templates/environment.j2` of the role gunicorn has written of a variable; a value may have several lines.
ASSIGNMENT = re.compile(r'^\w+="((?:[^"\\]|\\.)*)"$', re.MULTILINE | re.DOTALL)


def mask_url(text: str) -> str:
    """The text with the user name and password of every URL in it hidden."""
    return re.sub(USERINFO, f"{MASK}@", text)


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text without any of the secrets, the longest first so that no rest of one remains."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return mask_url(text)


def secrets_of_urls(value: Any) -> set[str]:
    """What must not be shown of a setting: user names and passwords in its URLs."""
    if isinstance(value, Mapping):
        return secrets_of_urls(list(value.values()))
    if isinstance(value, (list, tuple)):
        return {secret for item in value for secret in secrets_of_urls(item)}
    userinfos = [found[:-1] for found in re.findall(USERINFO, str(value))]
    return {part for userinfo in userinfos for part in (userinfo, unquote(userinfo.partition(":")[2])) if part}


def secrets_of(values: Iterable[Any]) -> set[str]:
    """What must not be shown of an app's environment: its values, the secrets inside them, and other spellings of both.

    Numbers and words that are common settings, such as `8000` and `info`, are not secrets.
    """
    plain = {text for value in values for text in _parts(str(value)) if _can_be_secret(text)}
    return {form for text in plain for form in _forms(text) if len(form) >= SHORTEST_SECRET}


def secrets_on_host(root: Path, app: str) -> set[str]:
    """What must not be shown of the environment and the files that an app has on this host."""
    folder = root / "etc" / app
    assigned = ASSIGNMENT.findall(_text(folder / "environment"))
    values = [re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for value in assigned]
    return secrets_of([*values, *map(_text, (folder / "files").glob("*"))])


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _can_be_secret(text: str) -> bool:
    if len(text) < SHORTEST_SECRET or text.lower() in WORDS:
        return False
    return not (text.isdecimal() and len(text) <= LONGEST_PLAIN_NUMBER)


def _parts(value: str) -> Iterator[str]:
    """The value, and what an app takes out of it: lines, passwords of URLs and of connection strings, texts of JSON."""
    yield value
    if "\n" in value:
        yield from value.splitlines()
    for userinfo in (found[:-1] for found in re.findall(USERINFO, value)):
        yield userinfo
        yield userinfo.partition(":")[2]
        yield unquote(userinfo.partition(":")[2])
        yield base64.b64encode(unquote(userinfo).encode()).decode()
    for name, *texts in ASSIGNED.findall(value):
        if SECRET_NAME.search(name):
            yield from filter(None, texts)
    with suppress(ValueError):
        for name, text in parse_qsl(urlsplit(value).query):
            if SECRET_NAME.search(name):
                yield text
    if value[:1] in {"{", "["}:
        with suppress(ValueError):
            yield from _leaves(json.loads(value))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str):
        yield from _parts(value)


def _forms(text: str) -> set[str]:
    """The text as Python, JSON, URLs and base64 write it."""
    return {
        text,
        repr(text)[1:-1],
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        quote(text),
        quote(text, safe=""),
        quote_plus(text),
        base64.b64encode(text.encode()).decode(),
    }
