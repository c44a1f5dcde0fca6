"""How the simulated services misbehave, and how often they are called."""

import asyncio
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Mode(StrEnum):
    """What a service does with a call.

    `stall` and `drop` do the work all the same: the caller cannot know, which is what idempotency keys are for.
    """

    OK = "ok"
    FAIL = "fail"  # does nothing and answers 500
    STALL = "stall"  # does the work and answers `seconds` later
    DROP = "drop"  # does the work and breaks the connection off without an answer
    BUSY = "busy"  # does nothing and answers 503 with Retry-After `seconds`


class Behaviour(BaseModel):
    """How a service treats its calls."""

    mode: Mode = Mode.OK
    seconds: float = Field(default=30, ge=0, le=3600, description="How long it stalls, or says that it is busy.")
    share: float = Field(default=1, ge=0, le=1, description="The probability that a call is treated so.")
    times: int | None = Field(default=None, ge=1, description="After so many such calls it is ok again; null: never.")


class Service(Behaviour):
    """A service's behaviour, and the calls that it has had since the process started."""

    calls: int = Field(default=0, description="Calls received, whatever became of them.")
    in_flight: int = Field(default=0, description="Calls received and not yet answered or broken off.")

    @contextmanager
    def call(self) -> Iterator[Mode]:
        """Count a call while it lasts, and choose how it is treated."""
        self.calls += 1
        self.in_flight += 1
        try:
            yield self._treatment()
        finally:
            self.in_flight -= 1

    def _treatment(self) -> Mode:
        if self.mode is Mode.OK or random.random() >= self.share:  # noqa: S311 - nothing depends on secrecy
            return Mode.OK
        mode = self.mode
        if self.times is not None:
            self.times -= 1
            if self.times == 0:
                self.mode, self.times = Mode.OK, None
        return mode


class BehaviourMiddleware:
    """Treats calls as their service's behaviour says; everything else passes.

    `services` are told apart by method and beginning of the path: `{("POST", "/payments/charges"): service}`.
    """

    def __init__(self, app: ASGIApp, *, services: Mapping[tuple[str, str], Service]) -> None:
        self.app = app
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or do not."""
        service = self._service(scope) if scope["type"] == "http" else None
        if service is None:
            await self.app(scope, receive, send)
            return
        with service.call() as mode:
            if mode is Mode.FAIL:
                await JSONResponse({"detail": "The service failed, as it was told to."}, 500)(scope, receive, send)
            elif mode is Mode.BUSY:
                headers = {"Retry-After": str(math.ceil(service.seconds))}
                answer = JSONResponse({"detail": "The service is busy, as it was told to be."}, 503, headers)
                await answer(scope, receive, send)
            elif mode is Mode.STALL:
                seconds = service.seconds
                answered = await self._work(scope, receive)
                try:
                    left = await _client_left(receive, within=seconds)
                except asyncio.CancelledError:  # the server stops, and would log a traceback for each call
                    await break_off(receive, send)
                    return
                for message in () if left else answered:
                    await send(message)
            elif mode is Mode.DROP:
                await self._work(scope, receive)
                await break_off(receive, send)
            else:
                await self.app(scope, receive, send)

    def _service(self, scope: Scope) -> Service | None:
        for (method, path), service in self.services.items():
            if scope["method"] == method and scope["path"].startswith(path):
                return service
        return None

    async def _work(self, scope: Scope, receive: Receive) -> list[Message]:
        """Let the app answer, and hold its answer back."""
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self.app(scope, receive, keep)
        return answer


async def _client_left(receive: Receive, *, within: float) -> bool:
    """Whether the client goes away within so many seconds; returns as soon as it does."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await _until_disconnected(receive)
            return True
    return False


async def break_off(receive: Receive, send: Send) -> None:
    """Close the connection although no answer was sent.

    ASGI has no message for that, and Uvicorn would answer 500 for an app that returns without an answer. But its `send`
    is a method of the object that has the connection; once that is gone, Uvicorn expects nothing more of the app.
    Raises RuntimeError under a server that is not Uvicorn, or behind a middleware with a `send` of its own.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("A connection can only be broken off under Uvicorn, with no other middleware outside.")
    transport.abort()
    await _until_disconnected(receive)


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
