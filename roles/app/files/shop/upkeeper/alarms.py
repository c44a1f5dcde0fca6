"""Time-outs of one length for many requests at the cost of one timer: they pass in the order in which they began.

`asyncio.timeout` starts and cancels a timer of the loop for each request, although next to none ever rings.
"""

import asyncio
import time
from types import TracebackType
from typing import Self

# Seconds by which a timer is late on a loop that has time for it.
HELD_UP = 0.01


class Alarm:
    """Cancels the task that enters it when the time of its `alarms` has passed, as `asyncio.timeout` does.

    Leaving it swallows that cancellation and no other; `rang` then says that there was one. `at` is the moment of
    `time.monotonic()` at which it rings; `stop` makes it None, and then it does not.
    """

    __slots__ = ("_alarms", "_cancelling", "_task", "at", "rang")

    def __init__(self, alarms: "Alarms") -> None:
        self.at: float | None = time.monotonic() + alarms.seconds
        self.rang = False
        self._alarms = alarms

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._alarms.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._alarms.discard(self)
        return self.rang and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError

    def stop(self) -> None:
        """Let it not ring any more."""
        self.at = None
        self._alarms.discard(self)

    def ring(self) -> None:
        """Cancel the task."""
        self.rang = True
        self._task.cancel()


class Alarms:
    """All alarms that ring `seconds` after they were made.

    Those for a single request are not `lasting`: their timer ends with it instead of waiting for the next.

    A loop that was held up finds the alarm and what was waited for in the same turn, and would ring first. `patience`
    is for how many seconds more it lets such a loop catch up instead, so that it is not others who are found slow.
    """

    def __init__(self, seconds: float, *, lasting: bool = True, patience: float = 0) -> None:
        self.seconds = seconds
        self._lasting = lasting
        self._patience = patience
        self._set: dict[Alarm, None] = {}  # in the order in which they ring
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def add(self, alarm: Alarm) -> None:
        """Let an alarm ring in time; the timer of an earlier one may be there already."""
        self._set[alarm] = None
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._start_timer(self.seconds)

    def discard(self, alarm: Alarm) -> None:
        """Forget an alarm, if it is known."""
        self._set.pop(alarm, None)
        if not self._lasting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self, seconds: float) -> None:
        assert self._loop is not None
        self._timer_at = time.monotonic() + seconds
        self._timer = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        """Ring all that are due, and sleep until the next one is."""
        self._timer = None
        now = time.monotonic()
        held_up = now - self._timer_at > HELD_UP
        for alarm in list(self._set):
            assert alarm.at is not None
            if alarm.at > now:
                self._start_timer(alarm.at - now)
                return
            if held_up and now < alarm.at + self._patience:
                self._start_timer(HELD_UP)
                return
            del self._set[alarm]
            alarm.ring()
