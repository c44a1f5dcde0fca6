"""Load from all kinds of clients at once, through Nginx over TLS, every answer checked, until SIGTERM.

    load.py ADDRESS DOMAIN RATE VERSIONS OUTPUT

RATE is fast requests a second in all. VERSIONS is a JSON object: the build that answers, and the version of the
dependency that this build must run. OUTPUT gets a line for each request: when it began (seconds since 1970), its kind,
how long it took (ms), `ok` or what was wrong, and who answered (release and build).

No request is ever sent twice. A WebSocket that is closed with 1012 (service restart) is opened again, as that code asks
for.
"""
# ruff: noqa: S311  # the numbers are compared, nothing is kept secret by them

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import uvloop
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed

TIMEOUT = 15.0
SLOW_SECONDS = 2
EVENTS = 30  # in three seconds
WEBSOCKET_PAUSE = 0.05
HTTP2_BATCH = 20
SERVICE_RESTART = 1012

# Connections of each kind, and the share of RATE that the fast kinds have.
FAST = {"get": (8, 0.4), "post": (8, 0.4), "get-new": (4, 0.05), "post-new": (4, 0.05), "http2": (2, 0.1)}
LONG = {"slow": 4, "events": 2, "websocket": 3}


class WrongError(Exception):
    """What was wrong with an answer, in a word or two."""


@dataclass
class Record:
    """One request as it will be written."""

    kind: str
    began: float
    answered_by: str = "-"


@dataclass
class Load:
    """What all clients share."""

    address: str
    domain: str
    rate: float
    versions: dict[str, str]
    output: TextIO
    stopping: bool = False
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def __post_init__(self) -> None:
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    @contextmanager
    def request(self, kind: str) -> Iterator[Record]:
        """Time what happens inside and write it down; an error is the outcome of the request and goes no further."""
        record, begin, outcome = Record(kind, time.time()), time.monotonic(), "ok"
        try:
            yield record
        except asyncio.CancelledError:
            raise
        except Exception as error:
            outcome = str(error) if isinstance(error, WrongError) else type(error).__name__
        took = 1000 * (time.monotonic() - begin)
        self.output.write(f"{record.began:.3f}\t{kind}\t{took:.1f}\t{outcome}\t{record.answered_by}\n")

    def check(self, record: Record, text: str, release: str, expected: dict[str, Any]) -> None:
        """Hold a JSON answer to what was asked, and its build to the dependency that it must run."""
        try:
            answer = json.loads(text)
            build, dependency = str(answer["build"]), answer["dependency"]
        except (ValueError, KeyError, TypeError) as error:
            raise WrongError("not the app's answer") from error
        record.answered_by = f"{release or '-'} {build}"
        if any(answer.get(key) != value for key, value in expected.items()):
            raise WrongError("another request's answer")
        if self.versions.get(build) != dependency:
            raise WrongError(f"build {build} runs dependency {dependency}")


class Client:
    """One connection in HTTP/1.1, opened when it is needed."""

    def __init__(self, load: Load) -> None:
        """No connection yet."""
        self.load = load
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, target: str, body: bytes = b"", *, keep: bool) -> tuple[str, str]:
        """The text of the answer and the release that gave it; raises WrongError for a status other than 200."""
        try:
            async with asyncio.timeout(TIMEOUT):
                status, headers, text = await self._exchange(method, target, body, keep)
        except BaseException:
            self.close()
            raise
        if not keep or headers.get("connection") == "close":
            self.close()
        if status != "200":
            raise WrongError(f"status {status}")
        return text, headers.get("x-release", "")

    async def _exchange(self, method: str, target: str, body: bytes, keep: bool) -> tuple[str, dict[str, str], str]:
        # A client looks whether its connection was closed meanwhile, before it sends.
        if self.reader is None or self.writer is None or self.reader.at_eof() or self.writer.is_closing():
            self.close()
            self.reader, self.writer = await asyncio.open_connection(
                self.load.address, 443, ssl=self.load.context, server_hostname=self.load.domain
            )
        head = f"{method} {target} HTTP/1.1\r\nHost: {self.load.domain}\r\nContent-Length: {len(body)}\r\n"
        self.writer.write(f"{head}Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode() + body)
        await self.writer.drain()
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _unused, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            text = await self._chunks()
        else:
            text = (await self.reader.readexactly(int(headers["content-length"]))).decode()
        return first.split(" ")[1], headers, text

    async def _chunks(self) -> str:
        assert self.reader is not None
        parts = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readuntil(b"\r\n")
        return b"".join(parts).decode()

    def close(self) -> None:
        """Let go of the connection."""
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None


# What a client of each kind does in one turn.


async def get(load: Load, client: Client, kind: str) -> None:
    """A number that has to come back."""
    number = random.randrange(10**9)
    with load.request(kind) as record:
        text, release = await client.ask("GET", f"/fast?number={number}", keep=kind == "get")
        load.check(record, text, release, {"number": number})


async def post(load: Load, client: Client, kind: str) -> None:
    """A body of up to 32 KiB, of which the sum has to come back."""
    body = random.randbytes(random.choice((100, 1000, 32768)))
    expected = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
    with load.request(kind) as record:
        text, release = await client.ask("POST", "/echo", body, keep=kind == "post")
        load.check(record, text, release, expected)


async def slow(load: Load, client: Client, kind: str) -> None:
    """An answer that takes its time, and has to."""
    with load.request(kind) as record:
        text, release = await client.ask("GET", f"/slow?seconds={SLOW_SECONDS}", keep=True)
        load.check(record, text, release, {})
        if time.time() - record.began < SLOW_SECONDS - 0.1:  # the server's timer and this clock are not the same
            raise WrongError("too early")


async def events(load: Load, client: Client, kind: str) -> None:
    """A stream of events, to its end and all from one build."""
    with load.request(kind) as record:
        text, release = await client.ask("GET", f"/events?count={EVENTS}", keep=False)
        build = text.partition("data: ")[2].partition("\n")[0]
        record.answered_by = f"{release or '-'} {build}"
        if text != "".join(f"id: {number}\ndata: {build}\n\n" for number in range(EVENTS)):
            raise WrongError("the stream is not whole")


async def websocket(load: Load, _client: Client, kind: str) -> None:
    """Texts that have to come back, until the server closes with 1012 or the load ends."""
    connection: Any = None
    try:
        with load.request("websocket-open"):
            connection = await websockets.asyncio.client.connect(
                f"wss://{load.domain}/ws",
                host=load.address,
                ssl=load.context,
                proxy=None,
                open_timeout=TIMEOUT,
                close_timeout=1,
            )
        while connection is not None and not load.stopping:
            with load.request(kind):
                text = str(random.randrange(10**9))
                try:
                    await connection.send(text)
                    async with asyncio.timeout(TIMEOUT):
                        if await connection.recv() != text:
                            raise WrongError("another text")
                except ConnectionClosed as closed:
                    connection = None
                    code = closed.rcvd.code if closed.rcvd else None
                    if code != SERVICE_RESTART:
                        raise WrongError(f"closed with {code}") from closed
            await asyncio.sleep(WEBSOCKET_PAUSE)
    finally:
        if connection is not None:
            await connection.close()


async def http2(load: Load, _client: Client, kind: str) -> None:
    """A batch over one connection of curl in HTTP/2: GETs or POSTs, one after the other."""
    body = f"{random.randrange(10**9)}"
    is_post = random.random() < 0.5
    numbers = [random.randrange(10**9) for _ in range(HTTP2_BATCH)]
    targets = ["/echo"] * HTTP2_BATCH if is_post else [f"/fast?number={number}" for number in numbers]
    command = ["curl", "--silent", "--insecure", "--http2", "--max-time", str(HTTP2_BATCH * TIMEOUT)]
    command += ["--resolve", f"{load.domain}:443:{load.address}", "--write-out"]
    command += [r"\t%{http_code}\t%{http_version}\t%{time_total}\n", *(["--data-binary", body] if is_post else [])]
    began = time.time()
    process = await asyncio.create_subprocess_exec(
        *command, *(f"https://{load.domain}{target}" for target in targets), stdout=asyncio.subprocess.PIPE
    )
    lines = (await process.communicate())[0].decode(errors="replace").splitlines()
    for number, line in zip(numbers, [*lines, *[""] * HTTP2_BATCH], strict=False):
        text, status, version, seconds = [*line.split("\t"), "", "", "", ""][:4]
        took, outcome, record = 1000 * float(seconds or 0), "ok", Record(kind, began)
        try:
            if (status, version) != ("200", "2"):
                raise WrongError(f"status {status or 'none'} in HTTP/{version or '?'}")
            sum_ = {"sha256": hashlib.sha256(body.encode()).hexdigest()}
            load.check(record, text, "", sum_ if is_post else {"number": number})
        except WrongError as error:
            outcome = str(error)
        load.output.write(f"{began:.3f}\t{kind}\t{took:.1f}\t{outcome}\t{record.answered_by}\n")
        began += took / 1000


Turn = Callable[[Load, Client, str], Awaitable[None]]
TURNS: dict[str, Turn] = {
    "get": get,
    "get-new": get,
    "post": post,
    "post-new": post,
    "http2": http2,
    "slow": slow,
    "events": events,
    "websocket": websocket,
}


async def client_of(load: Load, kind: str, pause: float) -> None:
    """Turn after turn, one each `pause` seconds on average, until the load ends."""
    client = Client(load)
    await asyncio.sleep(random.uniform(0, pause))
    while not load.stopping:
        due = time.monotonic() + random.uniform(0.5, 1.5) * pause
        await TURNS[kind](load, client, kind)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    client.close()


async def run(load: Load) -> None:
    """All clients at once, until SIGTERM; what is open then is answered first."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, load, "stopping", True)
    async with asyncio.TaskGroup() as clients:
        for kind, (count, share) in FAST.items():
            batch = HTTP2_BATCH if kind == "http2" else 1
            for _ in range(count):
                clients.create_task(client_of(load, kind, pause=count * batch / (load.rate * share)))
        for kind, count in LONG.items():
            for _ in range(count):
                clients.create_task(client_of(load, kind, pause=0.2))


def main() -> None:
    """Run as a program."""
    address, domain, rate, versions, output = sys.argv[1:]
    os.environ.pop("SSLKEYLOGFILE", None)
    with Path(output).open("w", encoding="utf-8") as file:
        uvloop.run(run(Load(address, domain, float(rate), json.loads(versions), file)))


if __name__ == "__main__":
    main()
