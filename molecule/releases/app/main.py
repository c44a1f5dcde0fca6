"""The app of this scenario, which dies when its release is made to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import edition
from answering import answer, die

DIES_AFTER = float(getattr(edition, "DIES_AFTER", 0))


@asynccontextmanager
async def fate() -> AsyncIterator[None]:
    """Take the master down `DIES_AFTER` seconds after the start-up; 0 is never."""
    if not DIES_AFTER:
        yield
        return
    timer = asyncio.get_running_loop().call_later(DIES_AFTER, die)
    yield
    timer.cancel()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI application."""
    if scope["type"] != "lifespan":
        await answer(scope, receive, send)
        return
    await receive()
    async with fate():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
