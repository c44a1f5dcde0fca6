"""What stays open: the state as an event stream, and a WebSocket."""

import itertools
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, WebSocket, WebSocketDisconnect
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.datastructures import Headers
from starlette.status import WS_1008_POLICY_VIOLATION

from shop.dependencies import AllServices, Reader
from shop.errors import answers

# Seconds between two events, and milliseconds until a browser that lost the stream asks for it again.
PERIOD = 1.0
RETRY = 1500

router = APIRouter(tags=["live"])


def of_this_site(headers: Headers) -> bool:
    """Whether a WebSocket was opened by a page of this site, or by a client that is not a browser.

    A browser sends cookies with a WebSocket to any site, and always says in `Origin` whose page it is.
    """
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


async def place(services: AllServices) -> AsyncIterator[None]:
    """One of the streams that a worker has at once. BulkheadFull (503) when there is none."""
    async with services.streams:
        yield


@router.get(
    "/api/events",
    response_class=EventSourceResponse,
    responses=answers(422, 503, 504),
    dependencies=[Depends(place)],
)
async def events(
    services: AllServices,
    reader: Reader,
    last_event_id: Annotated[str | None, Header(description="The last event that was received.")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Send the state each second, as `/api/status` has it.

    An event holds the whole state, so nothing is to be made up for after a lost connection; ids go on from
    `Last-Event-ID`. The stream ends when the worker stops and at the latest by its deadline; browsers come back.
    """
    last = int(last_event_id) if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 16 else 0
    for number in itertools.count(last + 1):
        state = await reader.state()
        yield ServerSentEvent(data=state, event="state", id=str(number), retry=RETRY)
        if await services.stopped_within(PERIOD):
            return


@router.websocket("/ws/echo")
async def echo(socket: WebSocket) -> None:
    """Send every text message back, but not for the page of another site, which would act as its visitor."""
    if not of_this_site(socket.headers):
        await socket.close(WS_1008_POLICY_VIOLATION)
        return
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        return
