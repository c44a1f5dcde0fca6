"""Reading how the shop is doing."""

import asyncio
import time
from contextlib import suppress
from math import ceil

from starlette.types import Scope
from upkeeper.circuit_breaker import State as BreakerState
from upkeeper.errors import Refusal

from shop.build import this_process
from shop.services import Services
from shop.state import Breaker, Dependency, Limit, Simulator, State

# Seconds that a state is good for, so that a hundred streams ask Redis and the simulator no more than one does.
FRESH = 0.9

_NOTES = {
    BreakerState.CLOSED: "Calls pass.",
    BreakerState.OPEN: "Calls fail at once, and the service gets none.",
    BreakerState.HALF_OPEN: "One call may try. If it succeeds, the breaker closes.",
}


class StatusReader:
    """Puts the state together from the services."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._state: State | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def state(self) -> State:
        """Return the state: what has to be asked is less than `FRESH` seconds old, what this worker knows is of now."""
        async with self._reading:
            if self._state is None or time.monotonic() - self._read_at > FRESH:
                self._state = await self._read()
                self._read_at = time.monotonic()
            return self._state.model_copy(update={"dependencies": self._dependencies()})

    async def limits(self, scope: Scope) -> list[Limit]:
        """Return what is left for whoever asks, which is counted as a request but never refused."""
        policy, key = self._services.policies.of_client(scope)
        with suppress(Refusal):
            decision = await self._services.limiter.hit(policy, key)
            counted = decision.policy  # this worker's share of the limit while Redis is away
            return [
                Limit(
                    name=counted.name,
                    limit=counted.limit,
                    window=counted.window,
                    remaining=decision.remaining,
                    reset=round(min(decision.reset, counted.window), 3),
                )
            ]
        return []

    async def _read(self) -> State:
        return State(
            build=this_process(self._services.settings.release),
            breakers=[await self._breaker(name) for name in self._services.breakers],
            dependencies=self._dependencies(),
            simulator=await self._simulator(),
        )

    async def _breaker(self, name: str) -> Breaker:
        breaker = self._services.breakers[name]
        state = await breaker.state()
        note = _NOTES[state]
        retry_after = breaker.seconds_open if state is BreakerState.OPEN else None
        if not self._services.settings.dependencies_url:
            note = "There is nothing to call."
        elif retry_after is not None:
            note += f" In {ceil(retry_after)} s one call may try."
        return Breaker(name=name, state=state.value, note=note, retry_after=retry_after)

    def _dependencies(self) -> list[Dependency]:
        known = self._services.readiness.report()["dependencies"]
        shared = known.get("redis")
        if shared is not None:
            # Every call tells whether it answers, which is newer than the last check.
            shared = {**shared, "state": self._services.redis.state.value, "latency_ms": None}
        database, in_use = known.get("database"), ""
        if database is not None and self._services.database is not None:
            database = {**database, "latency_ms": None}
            in_use = f"{self._services.database.in_use} of {self._services.database.pool_size} connections are in use."
        return [
            _dependency(
                "redis",
                shared,
                up="All workers share limits, breakers and keys.",
                down="Each worker counts alone for now.",
            ),
            _dependency("simulator", known.get("simulator"), up="It answers.", down="It does not answer."),
            _dependency("database", database, up=in_use, down="Nothing can be paid for now."),
        ]

    async def _simulator(self) -> Simulator | None:
        if self._services.simulator is not None:
            with suppress(Refusal):
                return await self._services.simulator.read()
        return None


def _dependency(name: str, known: dict[str, object] | None, *, up: str, down: str) -> Dependency:
    if known is None:
        return Dependency(name=name, state="not set up", note="")
    if known["state"] == "unknown":
        return Dependency(name=name, state="starting", note="It is being asked.")
    if known["state"] == "refusing":
        return Dependency(name=name, state="refusing", note="It takes no writes. Each worker counts alone for now.")
    if known["state"] == "down":
        return Dependency(name=name, state="down", note=down)
    latency = known["latency_ms"]
    return Dependency(name=name, state="up", note=up if latency is None else f"{up[:-1]} in {latency:g} ms.")
