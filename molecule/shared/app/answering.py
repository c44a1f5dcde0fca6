"""What the apps of the scenarios have in common: how they answer, and how they die.

A test writes `edition.py` beside it, so that each edition is a source, and so a release, of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import edition


def die() -> None:
    """Say so, and take the master down."""
    print("a planted end")
    os.kill(os.getppid(), signal.SIGKILL)


async def answer(scope: dict[str, Any], receive: Any, send: Any, status: int = 200) -> None:
    """Answer a GET with who this is, and a POST with what came in; /slow takes longer than anybody waits.

    Below /assets are the files of that folder.
    """
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(300)
    if scope["method"] != "POST":
        client = (scope.get("client") or [""])[0]
        body = json.dumps(
            {
                "release": os.environ["PRODUCTION_FASTAPI_RELEASE"],
                "edition": edition.NAME,
                "client": client,
                "host": socket.gethostname(),
            }
        ).encode()
    if scope["path"].startswith("/assets/"):
        file = Path(scope["path"].lstrip("/"))
        status, body = (200, file.read_bytes()) if file.is_file() else (404, b"")
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
