"""Readiness that costs nothing to read: a background task asks the dependencies and keeps what it heard.

Liveness needs no module. It is a route that answers and touches nothing, so that a slow dependency never gets a worker
restarted. Readiness says whether this process should get requests:

    readiness = Readiness({"database": ping_database}, optional={"redis": ping_redis})

    async with readiness:  # in the application's lifespan
        yield

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        return JSONResponse(readiness.report(), 200 if readiness.ready else 503)
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

logger = logging.getLogger(__name__)

# Raises, or returns False, when the dependency cannot be used. It awaits and never blocks.
Check = Callable[[], Awaitable[object]]


class _Dependency:
    """What is known of one dependency."""

    def __init__(self, name: str, check: Check, *, required: bool) -> None:
        self.name = name
        self.required = required
        self.state = "unknown"
        self.changed_at = 0.0
        self.error: str | None = None
        self.latency: float | None = None
        self._check = check
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, timeout: float) -> None:
        """Ask it once, and be back in time even if the check does not end when it is cancelled."""
        began = time.monotonic()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        await asyncio.wait({self._asking}, timeout=timeout)
        if not self._asking.done():
            self.give_up()
            self._learn(f"no answer within {timeout:g} s")
        elif self._asking.cancelled():
            self._learn("the check was cancelled")
        else:
            error = self._asking.exception()
            self._learn(None if error is None else f"{type(error).__name__}: {error}")
        self.latency = time.monotonic() - began

    def give_up(self) -> None:
        """End a check that is under way."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> None:
        if await self._check() is False:
            raise RuntimeError("the check said no")

    def _learn(self, error: str | None) -> None:
        state = "up" if error is None else "down"
        if state != self.state:
            if error is not None:
                logger.warning("%s cannot be used: %s", self.name, error)
            elif self.state == "down":
                logger.warning("%s can be used again", self.name)
            self.changed_at = time.monotonic()
        self.state = state
        self.error = error


class Readiness:
    """Whether this process should get requests: when every one of `checks` passes, and nobody told it to fail.

    The checks of `optional` are shown and never make it unready. `every` is the pause between two rounds and `timeout`
    what one check may take, both in seconds. ValueError when a name is in both.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        optional: Mapping[str, Check] | None = None,
        every: float = 5.0,
        timeout: float = 2.0,
    ) -> None:
        optional = optional or {}
        if both := sorted(checks.keys() & optional.keys()):
            raise ValueError(f"A dependency is required or optional, and not both: {', '.join(both)}.")
        self._dependencies = [
            *(_Dependency(name, check, required=True) for name, check in checks.items()),
            *(_Dependency(name, check, required=False) for name, check in optional.items()),
        ]
        self._every = every
        self._timeout = timeout
        self._told: str | None = None
        self._checked = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to check, and return at once: the process is not ready until the first round is done."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop checking. It is not ready from then on, because nothing is known any more."""
        self._checked = False
        for dependency in self._dependencies:
            dependency.give_up()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def fail(self, reason: str) -> None:
        """Be unready whatever the checks say, until `restore`: before a shutdown, or to take a host out by hand."""
        self._told = reason

    def restore(self) -> None:
        """Go by the checks again."""
        self._told = None

    @property
    def ready(self) -> bool:
        """Whether requests should come."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why it is not ready; None when it is."""
        if self._told is not None:
            return f"Told to fail: {self._told}"
        if not self._checked:
            return "The dependencies have not been checked."
        down = [f"{each.name} ({each.error})" for each in self._dependencies if each.required and each.state != "up"]
        return f"Not usable: {', '.join(down)}" if down else None

    def report(self) -> dict[str, Any]:
        """Return all that is known, ready for JSON.

        Of each dependency: `state` (up, down, unknown), `since` (the seconds that it has been so), `error` (of the last
        check, None when it passed), `latency_ms` (of the last check) and whether it is `required`. Errors are texts of
        exceptions: show them to operators, not to the world.
        """
        now = time.monotonic()
        return {
            "ready": self.ready,
            "reason": self.reason,
            "dependencies": {
                each.name: {
                    "state": each.state,
                    "required": each.required,
                    "since": round(now - each.changed_at, 1) if each.changed_at else None,
                    "error": each.error,
                    "latency_ms": None if each.latency is None else round(each.latency * 1000, 1),
                }
                for each in self._dependencies
            },
        }

    async def _watch(self) -> None:
        while True:
            await asyncio.gather(*(dependency.ask(self._timeout) for dependency in self._dependencies))
            self._checked = True
            await asyncio.sleep(self._every)
