"""The app of this scenario, for which both states of the collection have a name for its release."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("PRODUCTION_FASTAPI_RELEASE", os.environ.get("APP_RELEASE", ""))

from answering import answer


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI application."""
    if scope["type"] != "lifespan":
        await answer(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
