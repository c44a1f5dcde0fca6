"""What a pattern raises when it turns a call away, and the JSON answer that a client gets for it.

The answer is a problem as in RFC 9457 (`application/problem+json`): `type` says which refusal it is, `detail` is one
sentence. `use_problem_details(False)` makes all of them the `{"detail": "one sentence"}` of FastAPI's own errors.
"""

import logging
import math
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketState

# RFC 6455: the message violates the policy of the server.
POLICY_VIOLATION = 1008


# What the types of problems begin with; they are names and lead nowhere.
TYPES = "urn:upkeeper:"

_denied: ContextVar[bool] = ContextVar("denied", default=False)


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of the program
    """Something was turned away on purpose. Subclasses say with which HTTP status, and `kind` ends the problem's type.

    `detail` is one sentence for the client; `retry_after` is in seconds, or None when trying again will not help.
    """

    status = 503
    kind = "unavailable"

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


def refusal_headers(refusal: Refusal) -> dict[str, str]:
    """`Retry-After` in whole seconds, rounded up so that a client that obeys is never early; and no caching."""
    headers = {"Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    return headers


@dataclass(slots=True)
class _Form:
    """How refusals are written."""

    problems: bool = True


_form = _Form()


def use_problem_details(enabled: bool) -> None:
    """Choose between RFC 9457 and `{"detail": "one sentence"}` for all refusals of this process."""
    _form.problems = enabled


def refusal_response(refusal: Refusal) -> JSONResponse:
    """The answer to a request that was turned away."""
    headers = refusal_headers(refusal)
    if not _form.problems:
        return JSONResponse({"detail": refusal.detail}, refusal.status, headers)
    problem = {
        "type": TYPES + refusal.kind,
        "title": refusal.kind.replace("-", " ").capitalize(),
        "status": refusal.status,
        "detail": refusal.detail,
    }
    return JSONResponse(problem, refusal.status, headers, "application/problem+json")


async def answer_refusal(connection: Request | WebSocket, refusal: Exception) -> Any:
    """Exception handler: `app.add_exception_handler(Refusal, answer_refusal)`.

    A WebSocket is refused by the same answer before it is accepted, and closed with 1008 after it, or where the server
    cannot send an answer.
    """
    assert isinstance(refusal, Refusal)
    response = refusal_response(refusal)
    if not isinstance(connection, WebSocket):
        return response
    waiting = connection.application_state is WebSocketState.CONNECTING
    if waiting and "websocket.http.response" in connection.scope.get("extensions", {}):
        logging.getLogger("uvicorn.error").addFilter(_says_something)
        _denied.set(True)
        await connection.send_denial_response(response)
    else:
        await connection.close(POLICY_VIOLATION, refusal.detail)
    return None


def _says_something(record: logging.LogRecord) -> bool:
    """Filter: Uvicorn 0.54 logs an error after each refused handshake, as if nothing had answered it."""
    return not (_denied.get() and record.getMessage().startswith("ASGI callable returned without"))
