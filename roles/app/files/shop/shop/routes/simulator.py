"""Telling the simulated services how to behave, and locking the database: for tests and demonstrations."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from shop.dependencies import Controls, Lockable
from shop.errors import answers
from shop.simulator import lock_tables
from shop.state import Mode

router = APIRouter(tags=["simulator"])


class Behaviour(BaseModel):
    """How a service treats its calls: each with the probability `share`; `seconds` to stall, or to be busy for."""

    mode: Mode
    seconds: float = Field(default=30, ge=0, le=3600)
    share: float = Field(default=1, ge=0, le=1)
    times: int | None = Field(default=None, ge=1, description="After so many such calls it is ok again; null: never.")


class Lock(BaseModel):
    """How long the tables are locked."""

    seconds: float = Field(default=8, ge=0, le=20)


@router.put("/api/simulator/{service}", responses=answers(400, 404, 422, 502, 503, 504))
async def behave(service: Literal["warehouse", "payments"], behaviour: Behaviour, simulator: Controls) -> Behaviour:
    """Set how a service behaves; 404 unless APP_SIMULATOR_CONTROLS and APP_DEPENDENCIES_URL are set."""
    await simulator.behave(service, behaviour.model_dump(mode="json"))
    return behaviour


@router.post("/api/simulator/database", responses=answers(400, 404, 422, 503, 504))
async def lock(wanted: Lock, database: Lockable) -> Lock:
    """Lock the tables of the shop, and answer when it is over; 404 unless there is a database to be locked."""
    await lock_tables(database, wanted.seconds)
    return wanted
