"""The app of these tests: one route per behaviour, and start-up that can be told to fail by environment variables."""

import asyncio
import gc
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse

if os.environ.get("BREAK_IMPORT"):
    raise RuntimeError("planted: import fails")
time.sleep(float(os.environ.get("SLOW_IMPORT", "0")))

FOLDER = Path(os.environ["APP_TEST_FOLDER"])


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
    if (FOLDER / "break-start").exists():
        raise RuntimeError("planted: start-up fails")
    while (FOLDER / "hang-start").exists():
        (FOLDER / "hanging").touch()
        await asyncio.sleep(0.1)
    yield {"from_lifespan": "yes"}
    (FOLDER / f"ended-{os.getpid()}").touch()


app = FastAPI(lifespan=lifespan)


@app.get("/pid")
async def pid() -> int:
    return os.getpid()


@app.get("/frozen")
async def frozen() -> int:
    return gc.get_freeze_count()


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body())


@app.get("/slow")
async def slow(seconds: float) -> str:
    (FOLDER / f"at-work-{uuid.uuid4()}").touch()
    await asyncio.sleep(seconds)
    return "done"


@app.get("/endless")
async def endless() -> StreamingResponse:
    async def ticks() -> AsyncIterator[bytes]:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(ticks())


@app.get("/block")
async def block() -> None:
    time.sleep(60)


async def passing(request: Request, call_next: Any) -> Response:
    """A middleware as apps have several of, each of which listens whether the client has gone."""
    response: Response = await call_next(request)
    return response


nested = FastAPI()
nested.middleware("http")(passing)
nested.middleware("http")(passing)
app.mount("/nested", nested)


@nested.get("/ready")
@app.get("/ready-in-parts")
async def ready_in_parts() -> StreamingResponse:
    return StreamingResponse(iter([b"rea", b"dy"]))


@app.get("/ready")
async def ready(request: Request, response: Response) -> str:
    """503 while the file `not-ready` exists."""
    assert request.state.from_lifespan == "yes"
    response.status_code = 503 if (FOLDER / "not-ready").exists() else 200
    return "ready"


@app.get("/assets/app.js")
async def own_file() -> str:
    return "of the app"


@app.get("/assets/broken.js")
async def broken_file() -> None:
    raise RuntimeError("planted: the file cannot be read")


@app.get("/assets/pages/{path:path}")
async def page() -> HTMLResponse:
    """What a single-page app answers for a path that it does not know."""
    return HTMLResponse("<p>page")


@app.get("/client")
async def client(request: Request) -> str:
    return request.client.host if request.client else ""


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


def create_app() -> FastAPI:
    """The app, as a factory makes it."""
    return app
