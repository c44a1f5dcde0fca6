"""Middleware that names the host and worker in each answer of the API: `X-Answered-By: web1/4711`."""

import os
import platform
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from upkeeper.answers import with_headers


class AnsweredByMiddleware:
    """Add the header to what is below `/api/`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = ((b"x-answered-by", f"{platform.node()}/{os.getpid()}".encode()),)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self.app(scope, receive, send)
            return

        def send_named(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = with_headers(message, self.headers)
            return send(message)

        await self.app(scope, receive, send_named)
