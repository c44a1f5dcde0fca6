"""The least that the sample's middleware can cost in Python: all of it in one layer that nobody could copy a part of.

It does per request what clients and operators are to see of ours (an id, a time in the histogram, a deadline, an exact
limit, six headers) and leaves out what makes that right: WebSockets, several policies, refusals, answers of middleware,
clients that say how much time they have, event streams, a deadline that really rings. So it is a bound, not an example.
"""

import os
import platform
import secrets
import time
from collections import deque
from collections.abc import Awaitable
from contextvars import ContextVar
from itertools import count
from math import ceil

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from upkeeper.metrics import BUCKETS

LIMIT, WINDOW, SLOT, SECONDS = 100_000_000, 60_000_000_000, 60_000_000, 10
name: ContextVar[str] = ContextVar("name", default="")
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class Empty:
    """A layer that looks at each message on its way out, and does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        def send_on(message: Message) -> Awaitable[None]:
            if message["type"] == "websocket.accept":
                message = {**message}
            return send(message)

        await self.app(scope, receive, send_on)


class Fused:
    """Everything at once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.process = secrets.token_hex(12)
        self.numbers = count(1)
        duration = Histogram("fused_seconds", "Time to answer.", ["method", "route", "status"], buckets=BUCKETS)
        self.observe = duration.labels("GET", "/api/orders/{number}", 200).observe
        self.slots: dict[str, deque[list[int]]] = {}
        self.used: dict[str, int] = {}
        self.open: dict[Send, None] = {}
        self.answered_by = f"{platform.node()}/{os.getpid()}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, and add what there is to add on the way out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.monotonic()
        request_id = ""
        for header, value in scope["headers"]:
            if header == b"x-request-id":
                request_id = value.decode()
                break
        request_id = request_id or f"{self.process}{next(self.numbers):08x}"
        remaining, reset = self.hit(scope["client"][0], int(began * 1e9))

        def send_more(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = [
                    *message["headers"],
                    (b"ratelimit-policy", b'"anonymous";q=100000000;w=60'),
                    (b"ratelimit", b'"anonymous";r=%d;t=%d' % (remaining, ceil(reset))),
                    (b"x-ratelimit-limit", b"100000000"),
                    (b"x-ratelimit-remaining", b"%d" % remaining),
                    (b"x-answered-by", self.answered_by),
                    (b"x-request-id", request_id.encode()),
                ]
                message = {**message, "headers": headers}
            elif not message.get("more_body", False):
                self.observe(time.monotonic() - began)
            return send(message)

        id_token = name.set(request_id)
        deadline_token = deadline.set(began + SECONDS)
        self.open[send_more] = None
        try:
            await self.app(scope, receive, send_more)
        finally:
            del self.open[send_more]
            deadline.reset(deadline_token)
            name.reset(id_token)

    def hit(self, client: str, now: int) -> tuple[int, float]:
        """Count a request in the sliding window log of its client."""
        slots = self.slots.get(client)
        if slots is None:
            slots = self.slots[client] = deque()
            self.used[client] = 0
        while slots and slots[0][0] <= now:
            self.used[client] -= slots.popleft()[1]
        leaves = (now // SLOT + 1) * SLOT + WINDOW
        if slots and slots[-1][0] == leaves:
            slots[-1][1] += 1
        else:
            slots.append([leaves, 1])
        self.used[client] += 1
        return LIMIT - self.used[client], (slots[0][0] - now) / 1e9
