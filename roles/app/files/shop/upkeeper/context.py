"""The request id: one name for a request in the logs of the proxy, of this service and of those that it calls.

A W3C `traceparent` that came with the request is kept beside it: `logs` writes its trace id, and `client` passes it on.
"""

import itertools
import os
import re
import secrets
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answers import STARTS, with_headers

HEADER = "X-Request-ID"

_HEADER = HEADER.lower().encode()
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}")

_TRACEPARENT = b"traceparent"
_TRACESTATE = b"tracestate"
# W3C Trace Context, level 1: version, trace id, parent id, flags. A later version may have more fields.
_TRACE = re.compile(
    rb"(?!ff)(?!00-.{53,})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)

_request_id: ContextVar[str] = ContextVar("request_id", default="")


class _Trace(NamedTuple):
    """What the caller's trace is."""

    trace_id: str
    flags: str
    state: str


_trace: ContextVar[_Trace | None] = ContextVar("trace", default=None)


class _Ids:
    """Ids that no other process has: random for the process, then counted."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self._process = secrets.token_hex(12)
        self._numbers = itertools.count(1)

    def new(self) -> str:
        return f"{self._process}{next(self._numbers):08x}"


_ids = _Ids()


def request_id() -> str:
    """Return the id of the request that is being answered; empty outside of one."""
    return _request_id.get()


def trace_id() -> str:
    """Return the trace id of the request that is being answered; empty when its caller sent none."""
    trace = _trace.get()
    return "" if trace is None else trace.trace_id


def trace_headers() -> dict[str, str]:
    """Return the headers that pass the trace on to another service, with a parent id for this one call."""
    trace = _trace.get()
    if trace is None:
        return {}
    headers = {"traceparent": f"00-{trace.trace_id}-{secrets.token_hex(8)}-{trace.flags}"}
    if trace.state:
        headers["tracestate"] = trace.state
    return headers


class RequestContextMiddleware:
    """Gives each request and WebSocket its id, and answers it in `X-Request-ID`.

    The id is what the proxy sent in that header (it must overwrite what the client says there): up to 128 letters,
    digits, dots, hyphens and underscores. One that is missing or looks otherwise is replaced by one of our own.

    Around the whole application it is in every answer; as `app.add_middleware` it is missing in the 500 of an unhandled
    exception, which Starlette answers outside of all middleware that was added.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the request's id in its context."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        name = ""
        trace: bytes = b""
        for header, value in scope["headers"]:
            if header == _HEADER:
                name = value.decode() if not name and _WELL_FORMED.fullmatch(value) else name
            elif header == _TRACEPARENT:
                trace = value
        name = name or _ids.new()
        answered = ((_HEADER, name.encode()),)

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] in STARTS:
                for header, _value in message.get("headers", ()):
                    if header == _HEADER:  # the application's own
                        others = [pair for pair in message["headers"] if pair[0] != _HEADER]
                        message = {**message, "headers": others}
                        break
                message = with_headers(message, answered)
            return send(message)

        token = _request_id.set(name)
        _trace.set(_trace_of(scope, trace) if trace else None)
        await self.app(scope, receive, send_with_id)
        # Not after an exception: the server logs it in this context, and that line needs the id most.
        _request_id.reset(token)
        _trace.set(None)


def _trace_of(scope: Scope, value: bytes) -> _Trace | None:
    found = _TRACE.fullmatch(value)
    if found is None:
        return None
    states = [state.decode("latin-1") for name, state in scope["headers"] if name == _TRACESTATE]
    return _Trace(found[1].decode(), found[2].decode(), ",".join(states))
