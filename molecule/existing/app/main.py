"""The app of this scenario, which does nothing but answer."""

from __future__ import annotations

from typing import Any

from answering import answer


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI application."""
    if scope["type"] != "lifespan":
        await answer(scope, receive, send)
        return
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})
