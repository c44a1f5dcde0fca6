"""Run by the Python of the app: how long a drain waits for connections, as handshakes of TLS begin, end and fail.

Prints a line for each: whether the drain had ended after a while.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])
from drain_worker import DrainServer, LimitedProtocol, Limits
from uvicorn.config import Config
from uvicorn.server import ServerState


async def app(_scope: object, _receive: object, _send: object) -> None:
    """Nobody asks."""


async def waits(what: str, then: Callable[[LimitedProtocol], None]) -> None:
    """Begin a drain while a handshake is under way, then let something become of it."""
    config, state = Config(app), ServerState()
    config.load()
    server = DrainServer.__new__(DrainServer)
    server.server_state = state
    arriving = LimitedProtocol(Limits(8190, 100, 8190), config=config, server_state=state, app_state={})
    loop = asyncio.get_running_loop()
    drain = asyncio.create_task(server._until_gone(loop.time() + 60, websockets=False))
    await asyncio.sleep(0.2)
    print(what, "begun:", drain.done())
    then(arriving)
    del arriving
    await asyncio.sleep(0.2)
    print(what, "after:", drain.done())
    state.connections.clear()
    await drain


def made(protocol: LimitedProtocol) -> None:
    """The handshake has ended, so the connection is one that Uvicorn knows."""
    protocol.connection_made(SimpleNamespace(get_extra_info=lambda _name, default=None: default))


def failed(_protocol: LimitedProtocol) -> None:
    """The client has gone, and nothing refers to the connection any more."""


asyncio.run(waits("made", made))
asyncio.run(waits("failed", failed))
