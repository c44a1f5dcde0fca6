"""Work that takes its time, to see a deadline end it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from shop.errors import LIMITED, answers


class Slept(BaseModel):
    """What was done."""

    seconds: float


def router() -> APIRouter:
    """The routes of this subject."""
    routes = APIRouter(tags=["shop"])

    @routes.get("/api/slow", responses=answers(422, *LIMITED))
    async def slow(
        seconds: Annotated[float, Query(ge=0, le=600, allow_inf_nan=False, description="How long to wait.")] = 1,
    ) -> Slept:
        """Answer after `seconds`; 504 when the request's deadline is sooner, and then the work is cancelled."""
        await asyncio.sleep(seconds)
        return Slept(seconds=seconds)

    return routes
