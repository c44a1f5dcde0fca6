"""Asks a site for many made-up paths, and says what Nginx and the app have made of each; runs on the host.

    walk.py '{"name": "shop.example.com", "seed": 1, "count": 1500}'
    walk.py '{"name": "paths.example.com", "paths": ["/a?b"]}'

Prints for each path, as JSON: the path, the status, the header X-Kind, the beginning of the body, and whether Nginx has
counted it for the rate limit (`PASSED`), which it does not do where a path is exempt or Nginx has answered itself.
"""

import http.client
import json
import random
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

LOG = Path("/var/log/nginx/access.log")
# What the limit lets through at once from one address, with something to spare.
BURST = 15
SOURCES = count(1)

TARGETS = ["/metrics", "/metrics", "/internal/zz", "/internal/zz", "/internal", "/healthz", "/healthz", "/readyz", "/"]
TARGETS += ["/api/orders/1", "/static/shop.css", "/x", "/x/y"]
# fmt: off
TOKENS = [
    "%0a", "%0A", "%0d", "%00", "%09", "%1f", "%7f", "/", "//", "%2f", "%2F", "/./", "/../", "..", ".", "%2e",
    "%2E", "%2e%2e", "%2e%2e/", "/%2e%2e%2f", "/..%2f", "..%2f", ";", ";x=1", "?", "?x", "#", "%23", "%3f", "%25",
    "%252e", "%252f", "%5c", "\\", "\\..\\", "%c0%ae", "%c0%af", "%ef%bc%8f", "%e2%80%a8", "%c2%85", "%85", "%ff",
    "%20", "+", "&", "=", "~", "%u002e", "%2", "%", ":",
]
# fmt: on
TOKENS += ["\x01", "\x7f", "\xe9", "\t"]


def made_up(chance):
    """A path that one of two parsers might take for another one."""
    path = chance.choice(TARGETS)
    for _ in range(chance.choice([0, 1, 1, 1, 2, 2, 3, 4])):
        place = chance.choice([0, len(path), len(path), chance.randint(0, len(path))])
        kind = chance.random()
        if kind < 0.6:
            path = path[:place] + chance.choice(TOKENS) + path[place:]
        elif kind < 0.8 and place < len(path):
            text = f"%{ord(path[place]):02x}"
            path = path[:place] + chance.choice([text, text.upper()]) + path[place + 1 :]
        elif kind < 0.85:
            path = path[:place] + path[place : place + 1].swapcase() + path[place + 1 :]
        else:
            path = path[:place] + chance.choice(TARGETS) + path[place:]
    return path if path.startswith("/") or chance.random() < 0.1 else f"/{path}"


def walk(name, paths):
    """Ask for the paths, from an address of their own; a connection that Nginx has closed is opened again."""
    number = next(SOURCES)
    source = (f"127.20.{number // 250}.{1 + number % 250}", 0)
    context = ssl._create_unverified_context()
    connection, found = None, []
    for path in paths:
        if connection is None:
            plain = socket.create_connection(("127.0.0.1", 443), 20, source_address=source)
            connection = context.wrap_socket(plain, server_hostname=name)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode("latin-1"))
        answer = http.client.HTTPResponse(connection, method="GET")
        answer.begin()
        body = answer.read().decode("latin-1")
        found.append([path, answer.status, answer.headers["X-Kind"], body[:500], answer.headers["X-Request-ID"]])
        if answer.will_close:
            connection.close()
            connection = None
    return found


def counted(wanted):
    """What the limit did with each request of these addresses, by its id, once these are in the log."""
    lines, until = {}, time.monotonic() + 60
    while not wanted <= lines.keys() and time.monotonic() < until:
        subprocess.run(["nginx", "-s", "reopen"], check=True)
        time.sleep(0.3)
        read = [
            json.loads(line) for line in LOG.read_text(errors="replace").splitlines() if '"client":"127.20.' in line
        ]
        lines = {line["request_id"]: line["rate_limit"] for line in read}
    return lines


def main(ask):
    """Ask for all paths, and print what became of them."""
    chance = random.Random(ask.get("seed"))
    paths = ask.get("paths") or [made_up(chance) for _ in range(ask["count"])]
    parts = [paths[start : start + BURST] for start in range(0, len(paths), BURST)]
    with ThreadPoolExecutor(8) as pool:
        found = [answer for part in pool.map(lambda part: walk(ask["name"], part), parts) for answer in part]
    limits = counted({identifier for _, status, _, _, identifier in found if status == http.HTTPStatus.OK})
    print(json.dumps([[*answer, limits.get(identifier, "")] for *answer, identifier in found]))


main(json.loads(sys.argv[1]))
