"""What a pattern raises when it turns a call away, and the JSON answer that a client gets for it."""

import math

from starlette.requests import Request
from starlette.responses import JSONResponse


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of the program
    """Something was turned away on purpose. Subclasses say with which HTTP status.

    `detail` is one sentence for the client; `retry_after` is in seconds, or None when trying again will not help.
    """

    status = 503

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


async def answer_refusal(_request: Request, refusal: Exception) -> JSONResponse:
    """Exception handler: `app.add_exception_handler(Refusal, answer_refusal)`."""
    assert isinstance(refusal, Refusal)
    return JSONResponse({"detail": refusal.detail}, refusal.status, headers=refusal_headers(refusal))
