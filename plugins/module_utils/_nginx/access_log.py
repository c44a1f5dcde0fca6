# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a load balancer's access log says of the answers of its app servers."""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

# Workers keep lines for up to five seconds, so the log is in order only to that and the second that a line names.
DISORDER = 10.0  # seconds
PROBE = "production.fastapi-probe"
SEVERAL = re.compile(r", | : ")
SWITCHING_PROTOCOLS = 101

# Beside sites of others, those of ours have a log of their own.
LOGS = ("var/log/nginx/access.log", "var/log/nginx/production.fastapi.log")
REJECTED = b'"REJECTED"'
# Of a log as much as a moment reads; some 5,000 lines.
MOST_BYTES = 2**21
# The files that a page loads, by their endings, with names that `nginx_rate_limit_exempt` takes.
ENDINGS = "avif|css|gif|ico|jpe?g|js|map|mjs|otf|png|svg|ttf|wasm|webp|woff2?"
ASSET = re.compile(rf"/[\w./~-]*\.(?:{ENDINGS})", re.ASCII)


@dataclass
class Answers:
    """Answers of one server and release, to clients or to the probe; `times` counts those without error by their ms."""

    errors: int = 0
    times: Counter[int] = field(default_factory=Counter)


def answers_since(
    files: Iterable[Path], servers: Mapping[str, str], since: float
) -> dict[tuple[str, str, bool], Answers]:
    """The answers by server, release and whether the probe had asked.

    `servers` has the address of each as Nginx writes it, `since` is in seconds since 1970. Each try counts for the
    server that it was sent to, so an error counts although another server answered the client in the end.
    """
    names = {address: name for name, address in servers.items()}
    found: dict[tuple[str, str, bool], Answers] = {}
    for file in files:
        for entry in entries_since(file, since):
            asked = entry.get("agent") == PROBE
            for address, release, status, milliseconds in tries_of(entry):
                if address not in names:
                    continue
                answers = found.setdefault((names[address], release, asked), Answers())
                if status >= 500:
                    answers.errors += 1
                else:
                    answers.times[milliseconds] += 1
    return found


def rejected_assets(root: Path, seconds: float, now: float) -> dict[str, dict[str, Any]]:
    """The files of pages that Nginx has rejected in the last seconds, by folder: `count`, and the last `path`.

    It rejects above its rate or its number of connections. At most `MOST_BYTES` of each log are read.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in (line for name in LOGS for line in last_lines(root / name) if REJECTED in line):
        entry = entry_of(line)
        path = urlsplit(str(entry.get("uri", ""))).path
        rejected = "REJECTED" in (entry.get("rate_limit"), entry.get("connection_limit"))
        if rejected and time_of(entry) >= now - seconds and ASSET.fullmatch(path):
            folder = path[: path.rindex("/") + 1]
            # What lies in / is exempted by itself.
            known = found.setdefault(folder if folder != "/" else path, {"count": 0})
            known |= {"count": known["count"] + 1, "path": path}
    return dict(sorted(found.items()))


def last_lines(file: Path) -> list[bytes]:
    """The lines at the end of a log; none where it cannot be read."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - MOST_BYTES))
            return log.read(MOST_BYTES).splitlines()
    except OSError:
        return []


def entries_since(file: Path, since: float) -> Iterator[dict[str, Any]]:
    """The lines of a log in JSON from a moment on; none of a file that is missing or was last written before."""
    try:
        log = file.open("rb")
    except FileNotFoundError:
        return
    with log:
        if os.fstat(log.fileno()).st_mtime < since:
            return
        log.seek(place_of(log, since - DISORDER))
        for line in log:
            entry = entry_of(line)
            if entry and time_of(entry) >= int(since):
                yield entry


def place_of(log: BinaryIO, moment: float) -> int:
    """Where the first line as late as this begins; found by halving, since logs are long."""

    def late(place: int) -> bool:
        """Whether the first line that begins behind the place, or at 0, is as late."""
        log.seek(place)
        if place:
            log.readline()
        return next((time_of(entry) >= moment for line in log if (entry := entry_of(line))), True)

    place = bisect_left(range(log.seek(0, os.SEEK_END)), True, key=late)
    log.seek(place)
    if place:
        log.readline()
    return log.tell()


def entry_of(line: bytes) -> dict[str, Any]:
    """A line; empty when it is none of the format `json` of `nginx_access_log`, or is cut off."""
    try:
        entry = json.loads(line)
        return entry if isinstance(entry, dict) and time_of(entry) else {}
    except (ValueError, KeyError, TypeError):
        return {}


def time_of(entry: Mapping[str, Any]) -> float:
    """When the answer ended, in seconds since 1970, whole ones."""
    return datetime.fromisoformat(entry["time"]).timestamp()


def tries_of(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, int, int]]:
    """Address, release, status and ms of each server that a request was sent to.

    The time is that until the header of the answer came, so that slow clients and endless streams do not count. Nginx
    names a release only for the last try.
    """
    columns = [
        SEVERAL.split(str(entry.get(key, "")))
        for key in ("upstream", "upstream_status", "header_seconds", "response_seconds")
    ]
    if len({len(column) for column in columns}) > 1:
        return
    tries = list(zip(*columns, strict=True))
    for number, (address, status, header, response) in enumerate(tries, 1):
        if not status.isdigit() or int(status) == SWITCHING_PROTOCOLS:
            continue
        seconds = next((float(text) for text in (header, response) if text not in ("", "-")), 0.0)
        release = str(entry.get("release", "")) if number == len(tries) else ""
        yield address, release, int(status), round(seconds * 1000)
