"""Bulkhead: a cap on concurrent calls, so that one slow dependency cannot take all that the process has.

Named after the walls that keep a leak in one part of a ship (M. Nygard, "Release It!", chapter "Stability Patterns").
"""

import asyncio
from types import TracebackType

from .errors import Refusal


class BulkheadFull(Refusal):
    """503: as many calls as allowed are under way, and none ended within the wait."""

    kind = "too-many-calls"


class Bulkhead:
    """At most `limit` calls at once in this process: `async with bulkhead:`, or BulkheadFull.

    Who finds it full waits up to `wait` seconds (0: not at all), and whoever came first goes first. `retry_after` is
    what a refused client is told, in seconds: nobody knows when a place falls free. For one event loop.
    """

    def __init__(self, name: str, limit: int, *, wait: float = 0.0, retry_after: float = 1.0) -> None:
        if limit < 1:
            raise ValueError(f"limit is {limit}; it must be at least 1.")
        self.name = name
        self.limit = limit
        self.wait = wait
        self.retry_after = retry_after
        self.in_use = 0
        self._places = asyncio.Semaphore(limit)

    async def __aenter__(self) -> None:
        if self._places.locked():
            await self._wait_for_place()
        else:
            await self._places.acquire()
        self.in_use += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_use -= 1
        self._places.release()

    async def _wait_for_place(self) -> None:
        try:
            if self.wait <= 0:
                raise TimeoutError
            async with asyncio.timeout(self.wait):
                await self._places.acquire()
        except TimeoutError:
            raise BulkheadFull(
                f"As many calls to {self.name} as allowed are under way.", retry_after=self.retry_after
            ) from None
