"""How the shop is doing."""

from fastapi import APIRouter, Request, Response

from shop.errors import LIMITED, answers
from shop.state import Status
from shop.status import StatusReader


def router(reader: StatusReader) -> APIRouter:
    """The routes of this subject."""
    routes = APIRouter(tags=["health"])

    @routes.get("/api/status", responses=answers(*LIMITED))
    async def status(request: Request, response: Response) -> Status:
        """Say who answered, how the breakers and dependencies are, and what is left of the rate limit."""
        response.headers["Cache-Control"] = "no-store"
        limits = await reader.limits(request.scope)  # first: it tells whether Redis still counts
        state = await reader.state()
        return Status(**dict(state), limits=limits)

    return routes
