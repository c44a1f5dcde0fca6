"""Hearing of a shutdown when it begins.

A server waits for open connections before it ends the lifespan, so an endless answer has to know of the signal itself.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def noticing_shutdown(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the event loop when the process is told to end; the server's own handlers run all the same.

    Signals can be had in the main thread only. Elsewhere, and in a worker that Gunicorn replaces because of its age,
    `stop` is called when the block ends.
    """
    loop = asyncio.get_running_loop()
    former: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        former[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for signal_number in SIGNALS:
            if callable(signal.getsignal(signal_number)):
                former[signal_number] = signal.signal(signal_number, handle)
    try:
        yield
    finally:
        stop()
        for number, handler in former.items():
            signal.signal(number, handler)
