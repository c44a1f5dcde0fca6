# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that asks through Nginx while a release is deployed, and writes one line for each request.

It runs on the load balancer by itself, in a unit of systemd, with nothing but Python's standard library. Requests
begin at a fixed rate, whether or not earlier ones have been answered: a client that waits for its answer before it asks
again would not see most of a stall (Gil Tene, "How NOT to Measure Latency": coordinated omission).
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import re
import signal
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

# One request in so many has a connection of its own; the others share kept-alive ones, as browsers and clients do.
NEW_CONNECTION_EVERY = 4
MAX_HEAD = 64 * 1024
# Nginx knows the probe by the address that it asks from, and never limits it. No client can have it: it is in
# 127.0.0.0/8, which does not leave the host. The same address is `__nginx_probe_address` of the role nginx.
PROBE_ADDRESS = "127.0.80.81"
# `verify` asks from its own, so that an Nginx of an older version, which limits both, has a separate bucket for it.
VERIFY_ADDRESS = "127.0.80.82"
# Says to a server that expects the PROXY protocol that the connection is for nobody else (its specification, 2.1).
PROXY_UNKNOWN = b"PROXY UNKNOWN\r\n"


class DroppedError(ConnectionError):
    """The connection was closed before the first byte of an answer."""


class AnswerError(Exception):
    """What came back is not an answer in HTTP/1.1."""


@dataclass(frozen=True)
class Target:
    """What is asked, and how."""

    address: str
    port: int
    domain: str
    path: str
    timeout: float  # seconds for one request, connection included
    header: str  # of the answer: the one that names the release
    verify: bool = False
    ca_file: str = ""
    source: str = PROBE_ADDRESS  # the address to ask from, where Nginx is asked on this host
    proxy_protocol: bool = False  # whether connections begin with the PROXY protocol

    @property
    def local_address(self) -> tuple[str, int] | None:
        """Where a connection begins; None lets the kernel choose, for addresses that are not 127.0.0.0/8."""
        where = ipaddress.ip_address(self.address)
        return (self.source, 0) if where.version == 4 and where.is_loopback else None

    def context(self) -> ssl.SSLContext:
        """TLS that believes any certificate, unless it is to be verified."""
        if self.verify:
            return ssl.create_default_context(cafile=self.ca_file or None)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


@dataclass
class Connection:
    """A connection over TLS; `asked` counts its requests."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: int = 0

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it, as far as we have heard."""
        return not (self.reader.at_eof() or self.writer.is_closing())

    def close(self) -> None:
        """Let go of it at once."""
        self.writer.transport.abort()


@dataclass(frozen=True)
class Answer:
    """Status, the release that the header named, and whether the connection can be used again."""

    status: int
    release: str
    reusable: bool


class Prober:
    """Asks one target at a fixed rate.

    A line has six words: when the request began, by the monotonic clock and by the wall clock (seconds), how long it
    took (ms), the status or why there was none, `again` if it took a second connection, and the release. `-` stands for
    nothing.
    """

    def __init__(self, target: Target) -> None:
        """Nothing is asked yet."""
        self.target = target
        self.context = target.context()
        self.idle: list[Connection] = []
        self.stopping = False
        host = f"[{target.domain}]" if ":" in target.domain else target.domain
        self.request = (
            f"GET {target.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: production.fastapi-probe\r\n"
            "Accept: */*\r\nConnection: "
        )

    async def run(self, rate: float, seconds: float) -> None:
        """Begin `rate` requests a second for so many seconds or until SIGTERM, and wait for the last answers."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        began = time.monotonic()
        async with asyncio.TaskGroup() as requests:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(began + number / rate - time.monotonic())
                if self.stopping:
                    break
                requests.create_task(self.ask(fresh=number % NEW_CONNECTION_EVERY == 0))

    def stop(self) -> None:
        """Begin no other request; what is still open must be in the lines, or a hang at the end would not be."""
        self.stopping = True

    async def ask(self, *, fresh: bool) -> None:
        """One request, and its line."""
        began, wall = time.monotonic(), time.time()
        release, again = "", False
        try:
            async with asyncio.timeout(self.target.timeout):
                try:
                    answer = await self.exchange(fresh=fresh)
                except DroppedError:
                    # Nginx may close an idle connection in the moment in which it is used, as when it reloads.
                    # Every client asks again then, on a new connection (RFC 9112, section 9.3.1).
                    again = True
                    answer = await self.exchange(fresh=True)
            kind, release = str(answer.status), answer.release
        except Exception as error:
            kind = kind_of(error)
        took = (time.monotonic() - began) * 1000
        words = (f"{began:.3f}", f"{wall:.3f}", f"{took:.1f}", kind, "again" if again else "-", release or "-")
        sys.stdout.write(" ".join(words) + "\n")
        sys.stdout.flush()

    async def exchange(self, *, fresh: bool) -> Answer:
        """Send the request and read its answer whole; raises DroppedError where asking again is right."""
        connection = None if fresh else self._idle()
        if connection is None:
            connection = await self._connect()
        try:
            answer = await self._converse(connection, "close" if fresh else "keep-alive")
        except BaseException:
            connection.close()
            raise
        if answer.reusable and not fresh:
            self.idle.append(connection)
        else:
            connection.close()
        return answer

    def _idle(self) -> Connection | None:
        while self.idle:
            connection = self.idle.pop()
            if connection.is_open:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        target, name = self.target, self.target.domain
        begin = partial(
            asyncio.open_connection, target.address, target.port, local_addr=target.local_address, limit=MAX_HEAD
        )
        if not target.proxy_protocol:
            return Connection(*await begin(ssl=self.context, server_hostname=name))
        connection = Connection(*await begin())
        try:
            connection.writer.write(PROXY_UNKNOWN)
            await connection.writer.start_tls(self.context, server_hostname=name)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _converse(self, connection: Connection, wish: str) -> Answer:
        connection.asked += 1
        try:
            connection.writer.write(f"{self.request}{wish}\r\n\r\n".encode())
            await connection.writer.drain()
            head = await connection.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            unanswered = not getattr(error, "partial", b"")
            if connection.asked > 1 and unanswered:
                raise DroppedError from error
            raise
        status, headers = parse_head(head)
        await read_body(connection.reader, status, headers)
        reusable = headers.get("connection", "").lower() != "close" and _has_an_end(status, headers)
        return Answer(status, plain(headers.get(self.target.header.lower(), "")), reusable)


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """The status and the headers, their names in lower case; raises AnswerError."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    found = re.match(r"HTTP/1\.[01] (\d{3})(?: |$)", first)
    if not found:
        raise AnswerError(first[:80])
    fields = (line.partition(":") for line in lines)
    return int(found[1]), {name.strip().lower(): value.strip() for name, _unused, value in fields}


def _has_an_end(status: int, headers: dict[str, str]) -> bool:
    return status in {204, 304} or "content-length" in headers or "transfer-encoding" in headers


async def read_body(reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> None:
    """Read what belongs to the answer and forget it (RFC 9112, section 6.3); raises AnswerError when it is cut off."""
    try:
        if status in {204, 304}:
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                await _skip(reader, size + len(b"\r\n"))
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
        elif "content-length" in headers:
            await _skip(reader, int(headers["content-length"]))
        else:
            while await reader.read(MAX_HEAD):
                pass
    except (asyncio.IncompleteReadError, ValueError) as error:
        raise AnswerError("the body is cut off") from error


async def _skip(reader: asyncio.StreamReader, size: int) -> None:
    while size:
        part = await reader.read(min(size, MAX_HEAD))
        if not part:
            raise AnswerError("the body is cut off")
        size -= len(part)


def plain(text: str) -> str:
    """The text as one word of at most 80 printable characters, whatever a server has sent."""
    return re.sub(r"[^!-~]", "?", text)[:80]


def is_limited(kind: str, release: str) -> bool:
    """Whether an answer is that of Nginx's rate limit: 429, and no release of the app has sent it."""
    return kind == "429" and not release


def kind_of(error: BaseException) -> str:
    """One word for why there was no answer: timeout, refused, reset, closed, tls, answer, or the name of the error."""
    kinds: dict[str, tuple[type[BaseException], ...]] = {
        "timeout": (TimeoutError,),
        "refused": (ConnectionRefusedError,),
        "tls": (ssl.SSLError,),
        "closed": (DroppedError, asyncio.IncompleteReadError),
        "reset": (ConnectionError,),
        "answer": (AnswerError, asyncio.LimitOverrunError),
    }
    return next((kind for kind, types in kinds.items() if isinstance(error, types)), type(error).__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as a program; every option is required, so that there is one place that has defaults, the module `probe`."""
    parser = argparse.ArgumentParser(description="Ask at a fixed rate; one line for each request.")
    for name, kind in {
        "address": str,
        "port": int,
        "domain": str,
        "path": str,
        "timeout": float,
        "header": str,
        "rate": float,
        "seconds": float,
    }.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--proxy-protocol", action="store_true")
    parser.add_argument("--ca-file", default="")
    options = vars(parser.parse_args(arguments))
    rate, seconds = options.pop("rate"), options.pop("seconds")
    asyncio.run(Prober(Target(**options)).run(rate, seconds))


if __name__ == "__main__":
    main()
