"""Deadlines: every request has one, the work behind it is cancelled when it passes, and each step can ask what is left.

The request stays in its own task, which is cancelled as `asyncio.timeout` would: context variables live on, and
cancellation reaches whatever the request awaits. Two things no deadline can end: a thread (a plain `def` endpoint runs
in one: the client gets its 504, the thread works on), and code that swallows `CancelledError`.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextvars import ContextVar
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .alarms import Alarm, Alarms
from .errors import Refusal, refusal_response

HEADER = "X-Request-Timeout-Ms"

# Seconds that a client gets to take the answer that says that its time is over.
FAREWELL = 1.0

# Seconds by which a deadline precedes the steps that it bounds: more than loops round by.
_PRECEDENCE = 0.02
_HEADER = HEADER.lower().encode()
_MILLISECONDS = re.compile(rb"[0-9]{1,9}")
TOO_LATE = "The answer took longer than this request may take."

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class DeadlineExceeded(Refusal, TimeoutError):  # noqa: N818 - as Refusal
    """A step took too long.

    `of_request` is false when it used up its own time-out; true when the deadline around it passed, so that there is no
    time left for another try.
    """

    status = 504
    kind = "deadline-exceeded"

    def __init__(self, detail: str, *, retry_after: float | None = None, of_request: bool = False) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.of_request = of_request


class _Deadline:
    """A moment of `time.monotonic()`, which threads know too."""

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at


_deadline: ContextVar[_Deadline | Alarm | None] = ContextVar("deadline", default=None)


def remaining() -> float | None:
    """Seconds left, never negative; None where there is no deadline, as in what runs after the answer was sent."""
    deadline = _deadline.get()
    if deadline is None or deadline.at is None:
        return None
    return max(0.0, deadline.at - time.monotonic())


async def wait_for(awaitable: Awaitable[Result], seconds: float) -> Result:
    """As `asyncio.wait_for`, for one call: DeadlineExceeded, which is answered 504, when it takes too long."""
    async with timeout(seconds):
        return await awaitable


@contextlib.asynccontextmanager
async def timeout(seconds: float) -> AsyncIterator[None]:
    """Cancel the block after `seconds`, or when the deadline around it passes if that is sooner.

    Raises DeadlineExceeded. Within the block `remaining()` counts towards this bound. Usable as a decorator, too.

    The deadline around it goes first: it cancels the request's task as a whole, block included, and answers. Only in a
    task of its own, which that cancellation does not reach, does the block raise with `of_request`.
    """
    left = remaining()
    of_request = left is not None and left < seconds
    bound = seconds if left is None else min(left, seconds)
    token = _deadline.set(_Deadline(time.monotonic() + bound))
    limit = asyncio.timeout(bound + _PRECEDENCE if of_request else bound)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired() or isinstance(error, DeadlineExceeded):
            raise
        detail = TOO_LATE if of_request else f"A step took longer than its {seconds:g} s."
        raise DeadlineExceeded(detail, of_request=of_request) from error
    finally:
        _deadline.reset(token)


class DeadlineMiddleware:
    """Ends a request that takes too long, up to the last byte of its answer. WebSockets are not bounded.

    `default` is in seconds, and so are the values of `routes`, whose keys are paths: the longest one that is the
    request's path, or a folder above it, takes the place of the default. A caller that has less time says so in
    `X-Request-Timeout-Ms` (whole milliseconds); it can only shorten.

    Before the first byte of the body the client gets a 504: the start of an answer waits for it. Only that of an event
    stream, and of any other answer with `X-Accel-Buffering: no`, which tells Nginx the same, leaves at once. After that
    byte, an event stream ends as if it were complete, so that the
    client connects again; any other answer is broken off, so that half of a body is never taken for the whole. What
    runs after the answer (background tasks) has no deadline. A TimeoutError of the application's own passes. Within
    another deadline that ends sooner this one does nothing.
    """

    def __init__(self, app: ASGIApp, *, default: float, routes: Mapping[str, float] | None = None) -> None:
        self.app = app
        folders = {path.rstrip("/") + "/": Alarms(seconds) for path, seconds in (routes or {}).items()}
        self._alarms = Alarms(default)
        self._routes = sorted(folders.items(), key=lambda route: len(route[0]), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application within the request's deadline."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        alarms = self._alarms_of(scope)
        if (left := remaining()) is not None and left <= alarms.seconds:
            await self.app(scope, receive, send)
            return
        answer = _Answer(alarms, send)
        token = _deadline.set(answer)
        try:
            with answer:
                await self.app(scope, receive, answer.send)
        finally:
            _deadline.reset(token)
        if not answer.rang:
            await answer.flush()
        elif not answer.complete:
            logger.warning(
                "%s %r was ended by its deadline of %g s, %s the first byte of the answer",
                scope["method"],
                scope["path"],
                answer.seconds,
                "after" if answer.begun else "before",
            )
            await answer.end()

    def _alarms_of(self, scope: Scope) -> Alarms:
        """The alarms for as long as the request may take."""
        alarms = self._alarms
        if self._routes:
            path = scope["path"] + "/"
            for folder, own in self._routes:
                if path.startswith(folder):
                    alarms = own
                    break
        for name, value in scope["headers"]:
            if name == _HEADER:
                if _MILLISECONDS.fullmatch(value) and int(value) / 1000 < alarms.seconds:
                    return Alarms(int(value) / 1000, lasting=False)
                break
        return alarms


class _Answer(Alarm):
    """The alarm of a request, and how far its answer has come."""

    __slots__ = ("_events", "_send", "_start", "begun", "complete", "seconds")

    def __init__(self, alarms: Alarms, send: Send) -> None:
        super().__init__(alarms)
        self.seconds = alarms.seconds
        self.begun = False
        self.complete = False
        self._events = False
        self._start: Message | None = None  # held back
        self._send = send

    def send(self, message: Message) -> Awaitable[None]:
        """Hand a message on; the deadline is off when it was the last."""
        kind = message["type"]
        if kind == "http.response.start":
            self._events, at_once = _looks(message)
            if not at_once:
                self._start = message
                return _nothing()
            self.begun = True
        elif kind == "http.response.body" and not message.get("more_body", False):
            return self._send_last(message)
        elif self._start is not None:
            return self._send_first(message)
        return self._send(message)

    async def flush(self) -> None:
        """Let the start go that was held back."""
        if self._start is not None:
            start, self._start, self.begun = self._start, None, True
            await self._send(start)

    async def _send_first(self, message: Message) -> None:
        await self.flush()
        await self._send(message)

    async def _send_last(self, message: Message) -> None:
        await self.flush()
        await self._send(message)
        self.complete = True
        self.stop()

    async def end(self) -> None:
        """Answer 504, end an event stream, or leave the rest of a body unsent, for which the server closes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                if not self.begun:
                    answer = refusal_response(DeadlineExceeded(TOO_LATE))
                    start = {"status": answer.status_code, "headers": answer.raw_headers}
                    await self._send({"type": "http.response.start", **start})
                    await self._send({"type": "http.response.body", "body": bytes(answer.body)})
                elif self._events:
                    await self._send({"type": "http.response.body", "body": b""})


def _looks(start: Message) -> tuple[bool, bool]:
    """Whether it is an event stream, and whether its start leaves at once."""
    events = at_once = False
    for name, value in start.get("headers", ()):
        if name == b"content-type":
            events = b"text/event-stream" in value
        elif name == b"x-accel-buffering":
            at_once = value == b"no"
    return events, at_once or events


async def _nothing() -> None:
    pass
