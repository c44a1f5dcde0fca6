"""How the shop is doing."""

from fastapi import APIRouter, Request, Response

from shop.dependencies import Reader
from shop.errors import answers
from shop.state import Status

router = APIRouter(tags=["health"])


@router.get("/api/status", responses=answers(503, 504))
async def status(request: Request, response: Response, reader: Reader) -> Status:
    """Say who answered, how the breakers and dependencies are, and what is left of the rate limit."""
    response.headers["Cache-Control"] = "no-store"
    limits = await reader.limits(request.scope)  # first: it tells whether Redis still counts
    state = await reader.state()
    return Status(**dict(state), limits=limits)
