"""Who one is, and a token for trying it out."""

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

from shop.errors import LIMITED, answers
from shop.identity import LIFETIME, Identities

DEMO_SUBJECT = "demo"


class Session(BaseModel):
    """A token for `Authorization: Bearer`, good for `expires_in` seconds."""

    token: str
    expires_in: int


class Member(BaseModel):
    """Who asks, as verified."""

    subject: str


def router(identities: Identities, *, demo: bool) -> APIRouter:
    """The routes of this subject; `demo` lets everybody have a token."""
    routes = APIRouter(tags=["session"])

    @routes.get("/api/me", responses=answers(401, *LIMITED))
    async def who(request: Request) -> Member:
        """Say whose token was sent; 401 when there is none, or none that is good."""
        return Member(subject=identities.require(request.scope).subject)

    @routes.post("/api/session", responses=answers(404, *LIMITED))
    async def sign_in() -> Session:
        """Give a demonstration token; 404 unless APP_SIMULATOR_CONTROLS and APP_TOKEN_KEY are set."""
        if not (demo and identities.enabled):
            raise HTTPException(404, "Nobody can sign in: set APP_TOKEN_KEY, and APP_SIMULATOR_CONTROLS=true.")
        return Session(token=identities.issue(DEMO_SUBJECT), expires_in=LIFETIME)

    return routes
