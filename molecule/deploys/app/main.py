"""The app of this scenario: says who it is, echoes what it is sent, and fails as its edition says.

A test writes `edition.py` beside it, so that each edition is a source, and so a release, of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import traceback
from typing import Any

import edition

EDITION = edition.NAME
FATE = getattr(edition, "FATE", "")
REQUESTS = itertools.count()


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


def fails(scope: dict[str, Any]) -> bool:
    """Whether this request is one that its edition lets fail; those of the scenario's own load never are."""
    if FATE == "fails some requests":
        probed = (b"user-agent", b"production.fastapi-probe") in scope["headers"]
        return probed and next(REQUESTS) % 8 == 0
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
    status = 503 if fails(scope) else 200
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
