"""How the shop is doing, as the page shows it and `/api/status` tells it."""

from typing import Literal

from pydantic import BaseModel

from shop.build import Build


class Breaker(BaseModel):
    """A circuit breaker, as all workers share it."""

    name: str
    state: Literal["closed", "open", "half-open"]
    note: str


class Dependency(BaseModel):
    """Something that the shop asks or shares, as this worker sees it."""

    name: str
    state: Literal["up", "down", "refusing", "starting", "not set up"]
    note: str


class Simulator(BaseModel):
    """How the simulated services were told to behave."""

    warehouse: str
    payments: str


class Limit(BaseModel):
    """A rate limit, and what is left of it for whoever asks."""

    name: str
    limit: int
    window: float
    remaining: int


class State(BaseModel):
    """What everybody may know. `simulator` is null when it is not to be controlled from here, or does not answer."""

    build: Build
    breakers: list[Breaker]
    dependencies: list[Dependency]
    simulator: Simulator | None


class Status(State):
    """The state, and the rate limits of whoever asks."""

    limits: list[Limit]
