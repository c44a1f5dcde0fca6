"""How the shop is doing, as the page shows it and `/api/status` tells it."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel

from shop.build import Build


class Mode(StrEnum):
    """What a simulated service does with a call."""

    OK = "ok"
    FAIL = "fail"
    STALL = "stall"
    DROP = "drop"
    BUSY = "busy"


class Breaker(BaseModel):
    """A circuit breaker, as all workers share it; `retry_after` is in seconds, null while calls pass."""

    name: str
    state: Literal["closed", "open", "half-open"]
    note: str
    retry_after: float | None


class Dependency(BaseModel):
    """Something that the shop asks or shares, as this worker sees it."""

    name: str
    state: Literal["up", "down", "refusing", "starting", "not set up"]
    note: str


class Simulator(BaseModel):
    """How the simulated services were told to behave."""

    warehouse: Mode
    payments: Mode


class Limit(BaseModel):
    """A rate limit, and what is left of it for whoever asks; in `reset` seconds it is more."""

    name: str
    limit: int
    window: float
    remaining: int
    reset: float


class State(BaseModel):
    """What everybody may know. `simulator` is null when it is not to be controlled from here, or does not answer."""

    build: Build
    breakers: list[Breaker]
    dependencies: list[Dependency]
    simulator: Simulator | None


class Status(State):
    """The state, and the rate limits of whoever asks."""

    limits: list[Limit]
