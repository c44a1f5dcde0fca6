"""Work that takes its time, to see a deadline end it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import func, select
from upkeeper.database import Session

from shop.errors import LIMITED, answers

Seconds = Annotated[float, Query(ge=0, le=600, allow_inf_nan=False, description="How long to wait.")]


class Slept(BaseModel):
    """What was done."""

    seconds: float


def router(*, database: bool) -> APIRouter:
    """The routes of this subject; with a database, it is a query that takes its time."""
    routes = APIRouter(tags=["shop"])

    async def sleep(seconds: Seconds = 1) -> Slept:
        """Answer after `seconds`; 504 when the request's deadline is sooner, and then the work is cancelled."""
        await asyncio.sleep(seconds)
        return Slept(seconds=seconds)

    async def query(session: Session, seconds: Seconds = 1) -> Slept:
        """Answer after a query of `seconds`; 504 when the time of a step is over sooner, and the query is cancelled."""
        await session.execute(select(func.pg_sleep(seconds)))
        return Slept(seconds=seconds)

    routes.get("/api/slow", responses=answers(422, *LIMITED))(query if database else sleep)
    return routes
