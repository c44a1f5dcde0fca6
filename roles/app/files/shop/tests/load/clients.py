"""Many HTTP/1.1 clients in one process: just enough of the protocol to be fast and to notice every fault."""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

BROKEN = 0  # the status of a request that had no whole answer


@dataclass
class Answer:
    """A status, headers in lower case, the body, and how long it took in seconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Tally:
    """What a set of requests got."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)

    def percentile(self, percent: int) -> float:
        """Seconds that so many per cent of the requests did not exceed."""
        times = sorted(answer.seconds for answer in self.answers)
        return times[min(len(times) - 1, len(times) * percent // 100)]

    def __str__(self) -> str:
        times = [answer.seconds * 1000 for answer in self.answers] or [0.0]
        statuses = ", ".join(f"{count} of {status or 'broken'}" for status, count in sorted(self.statuses.items()))
        worst = f"p99 {self.percentile(99) * 1000:.1f} ms, longest {max(times):.1f} ms" if self.answers else ""
        return f"{statuses}; median {statistics.median(times):.1f} ms, {worst}"


class Client:
    """One kept-alive connection over a Unix socket, opened again after it broke."""

    def __init__(self, path: str, *, timeout: float = 60) -> None:
        self.path = path
        self.timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, target: str, *, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Send one request once; a fault of the connection is an Answer with the status BROKEN."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if content:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.timeout):
                reader, writer = self._streams = self._streams or await asyncio.open_unix_connection(self.path)
                writer.write("\r\n".join([*lines, "", ""]).encode() + content)
                status, answered, received = await _read(reader)
        except (OSError, EOFError, TimeoutError):
            self.close()
            return Answer(BROKEN, {}, b"", time.perf_counter() - started)
        if answered.get("connection") == "close":
            self.close()
        return Answer(status, answered, received, time.perf_counter() - started)

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split(" ", 2)[1]), headers, body


async def crowd(
    path: str,
    clients: int,
    work: Callable[[Client], Awaitable[Answer]],
    *,
    until: Callable[[], bool],
    tally: Tally | None = None,
) -> Tally:
    """So many clients that do their work over and over until it is time to stop.

    A `tally` of the caller's own has the answers of a crowd that is cancelled, too.
    """
    tally = tally or Tally()

    async def one() -> None:
        client = Client(path)
        try:
            while not until():
                tally.answers.append(await work(client))
        finally:
            client.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return tally


def after(seconds: float) -> Callable[[], bool]:
    """True from so many seconds after now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
