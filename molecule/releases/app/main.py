"""The app of this scenario: says who it is, echoes what it is sent, and dies when its release is made to.

A test writes `edition.py` beside it, so that each edition is a source, and so a release, of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import edition

EDITION = edition.NAME
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


def die() -> None:
    """Say so, and take the master down."""
    print("a planted end")
    os.kill(os.getppid(), signal.SIGKILL)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI application: GET answers with who this is, POST with what came in."""
    if scope["type"] == "lifespan":
        await receive()
        async with fate():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["method"] != "POST":
        body = json.dumps({"release": os.environ["APP_RELEASE"], "edition": EDITION}).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
