"""Who one is, and a token for trying it out."""

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from shop.dependencies import AllServices, Member
from shop.errors import LIMITED, answers
from shop.identity import LIFETIME

DEMO_SUBJECT = "demo"

router = APIRouter(tags=["session"])


class Session(BaseModel):
    """A token for `Authorization: Bearer`, good for `expires_in` seconds."""

    token: str
    expires_in: int


class Subject(BaseModel):
    """Who asks, as verified."""

    subject: str


@router.get("/api/me", responses=answers(401, *LIMITED))
async def who(member: Member) -> Subject:
    """Say whose token was sent; 401 when there is none, or none that is good."""
    return Subject(subject=member.subject)


@router.post("/api/session", responses=answers(404, *LIMITED))
async def sign_in(services: AllServices) -> Session:
    """Give a demonstration token; 404 unless APP_SIMULATOR_CONTROLS and APP_TOKEN_KEY are set."""
    identities = services.identities
    if not (services.settings.simulator_controls and identities.enabled):
        raise HTTPException(404, "Nobody can sign in: set APP_TOKEN_KEY, and APP_SIMULATOR_CONTROLS=true.")
    return Session(token=identities.issue(DEMO_SUBJECT), expires_in=LIFETIME)
