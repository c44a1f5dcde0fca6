"""The app under load: one route for each kind of request, and answers that show which code and which packages run.

The driver writes `build.py` and the lock again for each deploy.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from build import BUILD
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

# Read once: what this process imported, whatever is on disk by now.
RUNS = {"build": BUILD, "dependency": version("itsdangerous")}

app = FastAPI()
# Of `run pages` alone, which adds the page and its files.
app.mount("/assets", StaticFiles(directory="assets", check_dir=False))


@app.get("/healthz")
async def healthz() -> dict[str, Any]:
    """Answer at once."""
    return RUNS


@app.get("/fast")
async def fast(number: int) -> dict[str, Any]:
    """Answer with the caller's number."""
    return RUNS | {"number": number}


@app.post("/echo")
async def echo(request: Request) -> dict[str, Any]:
    """Read the body and answer with its sum and length, which the caller compares."""
    body = await request.body()
    return RUNS | {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}


@app.get("/slow")
async def slow(seconds: float) -> dict[str, Any]:
    """Answer after so many seconds."""
    await asyncio.sleep(min(seconds, 10))
    return RUNS


@app.get("/events")
async def events(count: int) -> StreamingResponse:
    """A stream of `count` numbered events, ten a second."""

    async def stream() -> AsyncIterator[str]:
        for number in range(count):
            yield f"id: {number}\ndata: {BUILD}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/page")
def page() -> PlainTextResponse:
    """The names of the files that the page of this build consists of."""
    return PlainTextResponse(Path("page.html").read_text())


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    """Send back every text."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass
