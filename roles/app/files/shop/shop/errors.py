"""Answers as the API document has them: errors are always `{"detail": "one sentence"}`, and headers are described."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse
from upkeeper.context import HEADER, request_id


class Error(BaseModel):
    """What every answer that is not a success says."""

    detail: str


_MEANINGS = {
    400: "The request cannot be read, or lacks a header that it needs.",
    401: "The token is missing, not signed by this shop, or expired.",
    404: "There is none.",
    409: "A request with the same idempotency key is under way.",
    413: "The body is too large.",
    422: "The request is not understood.",
    429: "The rate limit is used up; Retry-After says when there is room again.",
    502: "A dependency broke off or gave no sensible answer.",
    503: "Refused for now; Retry-After says when to come back.",
    504: "Not done within the deadline.",
}

# Any limited route may answer these.
LIMITED = (429, 503, 504)


def header(description: str, *, kind: str = "string", required: bool = False) -> dict[str, Any]:
    """A header of an answer, for the document."""
    return {"description": description, "required": required, "schema": {"type": kind}}


_ALWAYS = {HEADER: header("The request in the logs of proxy and app.", required=True)}
_COUNTED = {
    "RateLimit-Policy": header('The limits that count: `"anonymous";q=100;w=60` is 100 in 60 s.', required=True),
    "RateLimit": header('What is left: `"anonymous";r=99;t=60`, and more of it in 60 s.', required=True),
    "X-RateLimit-Limit": header("The tightest of these limits.", kind="integer", required=True),
    "X-RateLimit-Remaining": header("What is left of it.", kind="integer", required=True),
}
_OF_STATUS = {
    401: {"WWW-Authenticate": header("How to authenticate.", required=True)},
    429: {**_COUNTED, "Retry-After": header("Seconds until there is room.", kind="integer", required=True)},
    503: {"Retry-After": header("Seconds after which to come back.", kind="integer")},
}


def answers(*statuses: int, success: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """What FastAPI's `responses` takes: error answers of these statuses, and the headers of a success.

    `success` are headers besides those that each answer has, and those of limited routes.
    """
    errors: dict[int | str, dict[str, Any]] = {
        status: {
            "model": Error,
            "description": _MEANINGS[status],
            "headers": {**_ALWAYS, **_OF_STATUS.get(status, {})},
        }
        for status in statuses
    }
    counted = _COUNTED if 429 in statuses else {}
    return {200: {"headers": {**_ALWAYS, **counted, **(success or {})}}, **errors}


async def answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    """Exception handler: 422 with all that is wrong, in a sentence."""
    assert isinstance(error, RequestValidationError)
    problems = (f"{' '.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors())
    return JSONResponse({"detail": f"{'; '.join(problems)}."}, 422)


async def answer_unexpected(_request: Request, _error: Exception) -> JSONResponse:
    """Exception handler for what nobody expected: 500, with the id under which the log has the rest."""
    detail = "This went wrong on our side; the log has it under the X-Request-ID of this answer."
    return JSONResponse({"detail": detail}, 500, headers={HEADER: request_id(), "Cache-Control": "no-store"})
