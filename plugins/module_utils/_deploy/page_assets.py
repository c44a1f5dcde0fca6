# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that the page of an app names, such as scripts and styles.

A browser that has the page of the release before asks for these files after the switch, too. Where their names have a
hash of the content, the new release often has others, and the page that is open breaks.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from ansible_collections.production.fastapi.plugins.module_utils._deploy.probing_client import (
    PROXY_UNKNOWN,
    Target,
    kind_of,
)

PAGE = "/"
MOST_ASSETS = 20
MOST_BYTES = 1_000_000
# Seconds for all files together, so that a slow app does not hold up a deploy.
PATIENCE = 5.0
LINKS = {"stylesheet", "icon", "modulepreload", "preload"}


class _Names(HTMLParser):
    """Collects the addresses of scripts, styles and pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address that a tag loads at once."""
        given = {name: value or "" for name, value in attrs}
        if tag in {"script", "img"}:
            self.found.append(given.get("src", ""))
        elif tag == "link" and LINKS & set(given.get("rel", "").lower().split()):
            self.found.append(given.get("href", ""))


def assets_of(html: str, domain: str) -> list[str]:
    """The paths of the files of the same site that a page loads, with their queries; at most `MOST_ASSETS`."""
    names = _Names()
    names.feed(html)
    base = f"https://{domain}{PAGE}"
    paths = []
    for name in filter(None, names.found):
        # An address that no browser could read either is left out.
        with contextlib.suppress(ValueError):
            parts = urlsplit(urljoin(base, name.strip()))
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            if parts.netloc == domain and parts.scheme == "https" and path.isascii() and path.isprintable():
                paths.append(path.replace(" ", "%20"))
    return list(dict.fromkeys(paths))[:MOST_ASSETS]


def fetch(target: Target, path: str) -> tuple[str, str, str]:
    """A GET through Nginx: its status or one word for why there was none, its content type, and its text."""
    connection = http.client.HTTPSConnection(target.address, target.port, timeout=target.timeout)
    try:
        plain = socket.create_connection(
            (target.address, target.port), timeout=target.timeout, source_address=target.local_address
        )
        if target.proxy_protocol:
            plain.sendall(PROXY_UNKNOWN)
        connection.sock = target.context().wrap_socket(plain, server_hostname=target.domain)
        host = f"[{target.domain}]" if ":" in target.domain else target.domain
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        answer = connection.getresponse()
        text = answer.read(MOST_BYTES).decode("utf-8", errors="replace")
        return str(answer.status), answer.getheader("Content-Type", ""), text
    except (OSError, http.client.HTTPException) as error:
        return kind_of(error), "", ""
    finally:
        connection.close()


def served_assets(target: Target) -> list[str]:
    """The files of the page that are there now."""
    status, kind, text = fetch(target, PAGE)
    if status != "200" or "html" not in kind:
        return []
    return [path for path, status in statuses(target, assets_of(text, target.domain)).items() if status == "200"]


def statuses(target: Target, paths: Iterable[str]) -> dict[str, str]:
    """How each file is answered; those that `PATIENCE` does not suffice for are left out."""
    found: dict[str, str] = {}
    deadline = time.monotonic() + PATIENCE
    for path in paths:
        if time.monotonic() < deadline:
            found[path] = fetch(target, path)[0]
    return found


def missing(found: dict[str, Any]) -> list[str]:
    """Those of the files that are not there any more; what a rate limit has refused counts as there."""
    return [path for path, status in found.items() if status not in {"200", "304", "429"}]
