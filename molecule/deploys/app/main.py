"""The app of this scenario: says who it is, echoes what it is sent, and fails as its edition says.

A test writes `edition.py` beside it, so that each edition is a source, and so a release, of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import edition

EDITION = edition.NAME
FATE = getattr(edition, "FATE", "")


def die() -> None:
    """Say so, and take the master down."""
    print("a planted end")
    os.kill(os.getppid(), signal.SIGKILL)


async def start() -> None:
    """The start-up, with what its edition has planted."""
    if FATE == "start-up that raises":
        raise RuntimeError("a planted error")
    if FATE == "start-up that never ends":
        await asyncio.Event().wait()
    if FATE == "dies after the switch":
        asyncio.get_running_loop().call_later(3, die)


async def lifespan(receive: Any, send: Any) -> None:
    """Start, serve, stop."""
    await receive()
    await start()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI application: GET answers with who this is, POST with what came in."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["method"] != "POST":
        body = json.dumps({"release": os.environ["APP_RELEASE"], "edition": EDITION}).encode()
    status = 503 if scope["path"] == "/readyz" and FATE == "is never ready" else 200
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
