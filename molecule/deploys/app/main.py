"""The app of this scenario, which fails as its edition says."""

from __future__ import annotations

import asyncio
import itertools
import os
import traceback
from typing import Any
from urllib.parse import urlsplit

import edition
from answering import answer, die

# What an app must not print, and many do: all of its environment, and what it takes out of it.
print("environment:", dict(os.environ))
print("connecting with the password", urlsplit(os.environ.get("DATABASE_URL", "")).password, flush=True)

FATE = getattr(edition, "FATE", "")
REQUESTS = itertools.count()


async def start() -> None:
    """The start-up, with what its edition has planted."""
    if FATE == "start-up that raises":
        raise RuntimeError("a planted error")
    if FATE == "start-up that never ends":
        await asyncio.Event().wait()
    if FATE == "dies after the switch":
        asyncio.get_running_loop().call_later(3, die)


def fails(scope: dict[str, Any]) -> bool:
    """Whether this request is one that its edition lets fail: of the probe's, or of the scenario's own load."""
    probed = (b"user-agent", b"production.fastapi-probe") in scope["headers"]
    if FATE == "fails some requests":
        return probed and next(REQUESTS) % 8 == 0
    if FATE == "fails some clients":
        return not probed and scope["path"] == "/" and next(REQUESTS) % 5 == 0
    return FATE == "is never ready" and scope["path"] == "/readyz"


async def lifespan(receive: Any, send: Any) -> None:
    """Start, serve, stop."""
    await receive()
    try:
        await start()
    except Exception:
        await send({"type": "lifespan.startup.failed", "message": traceback.format_exc()})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI application."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await answer(scope, receive, send, status=503 if fails(scope) else 200)
