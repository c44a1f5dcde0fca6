"""Telling the simulated services how to behave: for tests and demonstrations."""

from enum import StrEnum
from typing import Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from shop.errors import LIMITED, answers
from shop.simulator import SimulatorControls


class Mode(StrEnum):
    """What a service does with a call."""

    OK = "ok"
    FAIL = "fail"
    STALL = "stall"
    DROP = "drop"
    BUSY = "busy"


class Behaviour(BaseModel):
    """How a service treats its calls: each with the probability `share`; `seconds` to stall, or to be busy for."""

    mode: Mode
    seconds: float = Field(default=30, ge=0, le=3600)
    share: float = Field(default=1, ge=0, le=1)


def router(simulator: SimulatorControls | None) -> APIRouter:
    """The routes of this subject."""
    routes = APIRouter(tags=["simulator"])

    @routes.put("/api/simulator/{service}", responses=answers(400, 404, 422, 502, *LIMITED))
    async def behave(service: Literal["warehouse", "payments"], behaviour: Behaviour) -> Behaviour:
        """Set how a service behaves; 404 unless APP_SIMULATOR_CONTROLS and APP_DEPENDENCIES_URL are set."""
        if simulator is None:
            raise HTTPException(
                404, "There is no simulator here: set APP_DEPENDENCIES_URL, and APP_SIMULATOR_CONTROLS=true."
            )
        await simulator.behave(service, behaviour.model_dump(mode="json"))
        return behaviour

    return routes
