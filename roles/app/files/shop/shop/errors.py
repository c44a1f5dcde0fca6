"""Errors as the API answers them: always `{"detail": "one sentence"}`, and always documented."""

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


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What FastAPI's `responses` takes, for error answers of these statuses."""
    return {status: {"model": Error, "description": _MEANINGS[status]} for status in statuses}


async def answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    """Exception handler: 422 with all that is wrong, in a sentence."""
    assert isinstance(error, RequestValidationError)
    problems = (f"{' '.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors())
    return JSONResponse({"detail": f"{'; '.join(problems)}."}, 422)


async def answer_unexpected(_request: Request, _error: Exception) -> JSONResponse:
    """Exception handler for what nobody expected: 500, with the id under which the log has the rest."""
    detail = "This went wrong on our side; the log has it under the X-Request-ID of this answer."
    return JSONResponse({"detail": detail}, 500, headers={HEADER: request_id(), "Cache-Control": "no-store"})
