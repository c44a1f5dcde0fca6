"""The application: liveness, readiness, orders, a WebSocket echo and static files."""

import os
import platform
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Response, WebSocket, WebSocketDisconnect
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

STATIC = Path(__file__).parent / "static"

ORDERS = {
    1: ("Espresso cup", 2),
    2: ("Pour-over kettle", 1),
    3: ("Paper filters", 100),
}

app = FastAPI(title="Shop", summary="The sample service of production.fastapi.")
app.mount("/static", StaticFiles(directory=STATIC), name="static")


class Status(BaseModel):
    """What a probe reads."""

    status: str


class Build(BaseModel):
    """Which release answered, where, and by which process."""

    release: str
    host: str
    worker: int


class Order(BaseModel):
    """One line of an order."""

    id: int
    item: str
    quantity: int


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Serve the page that a person looks at."""
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


@app.get("/healthz", tags=["health"])
async def live() -> Status:
    """Liveness: the event loop answers. It touches no dependency, so that a slow database never restarts a worker."""
    return Status(status="alive")


@app.get("/readyz", tags=["health"])
async def ready() -> Status:
    """Readiness: this worker may take requests."""
    return Status(status="ready")


@app.get("/api/build", tags=["health"])
async def build(response: Response) -> Build:
    """Say which release, host and worker answered."""
    response.headers["Cache-Control"] = "no-store"
    return Build(release=os.environ.get("APP_RELEASE", "development"), host=platform.node(), worker=os.getpid())


@app.get("/api/orders/{order_id}", tags=["shop"])
async def order(order_id: Annotated[int, PathParameter(ge=1)]) -> Order:
    """Return one order, or 404."""
    if order_id not in ORDERS:
        raise HTTPException(status_code=404, detail=f"There is no order {order_id}.")
    item, quantity = ORDERS[order_id]
    return Order(id=order_id, item=item, quantity=quantity)


@app.websocket("/ws/echo")
async def echo(socket: WebSocket) -> None:
    """Send every text message back."""
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        return
