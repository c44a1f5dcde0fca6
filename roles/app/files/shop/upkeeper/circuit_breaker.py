"""Circuit breaker: a dependency that fails is left alone for a while, then tried with one call for all workers.

States and names are those of M. Nygard, "Release It!", chapter "Stability Patterns"; `breaker_state` has the rules.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar

from .breaker_state import (
    ACQUIRE,
    LOOK,
    RECORD,
    STATES,
    BreakerPolicy,
    LocalState,
    Outcome,
    State,
    microseconds,
    script_arguments,
)
from .errors import Refusal
from .shared import Argument, RedisAway, Script, SharedRedis

__all__ = ["BreakerEvent", "BreakerPolicy", "Call", "CircuitBreaker", "CircuitOpen", "State", "is_failure"]

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Kind = Literal["opened", "half_opened", "closed", "rejected", "success", "failure"]


class CircuitOpen(Refusal):
    """503: the breaker let no call through. `retry_after` is when it will let one through."""

    kind = "circuit-open"


@dataclass(frozen=True, slots=True)
class BreakerEvent:
    """What happened at a breaker. A change of state is told once, by the process whose call brought it about."""

    name: str
    kind: Kind


class Call:
    """A call that a breaker let through: what `async with breaker as call` gives."""

    __slots__ = ("generation", "ignored", "probe")

    def __init__(self, generation: int, *, probe: bool) -> None:
        self.generation = generation
        self.probe = probe
        self.ignored = False

    def ignore(self) -> None:
        """Take the call as neither success nor failure, because it says nothing of the dependency."""
        self.ignored = True


def is_failure(error: Exception) -> bool:
    """The usual judgement: everything fails but a refusal below 500, since who refuses a bad request is in order."""
    return not (isinstance(error, Refusal) and error.status < 500)


# Latest last. A breaker is one object for many tasks, so what belongs to one call is kept where the call is. Calls of
# different breakers may end in any order, as streams do that one task reads in turn.
_calls: ContextVar[tuple[tuple["CircuitBreaker", Call], ...]] = ContextVar("calls", default=())


class CircuitBreaker:
    """A breaker that all processes with the same Redis, prefix and name share: `async with breaker:` or `@breaker`.

    Raises CircuitOpen instead of calling. A call that raises is judged by `is_failure`; a cancelled one is neither
    success nor failure, and a cancelled probe makes way for the next. A call ends in the task in which it began. While
    Redis is away each process goes on alone from the last state that it knows. Listeners are called at once and must
    not block. `clock` gives seconds in place of the clocks of process and Redis, for tests.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        redis: SharedRedis,
        *,
        is_failure: Callable[[Exception], bool] = is_failure,
        listeners: Iterable[Callable[[BreakerEvent], None]] = (),
        prefix: str = "breaker:",
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.name = name
        self.policy = policy
        self.listeners = list(listeners)
        self._redis = redis
        self._is_failure = is_failure
        self._key = prefix + name
        self._clock = clock
        self._local = LocalState(policy)
        self._times, self._limits = script_arguments(policy)
        self._records: set[asyncio.Task[None]] = set()

    async def state(self) -> State:
        """The state that all processes share, or that of this process while Redis is away."""
        with contextlib.suppress(RedisAway):
            await self._ask(LOOK)
        return self.last_known

    @property
    def last_known(self) -> State:
        """The state as far as this process knows, without asking Redis."""
        if self._local.state is State.OPEN and self._now() >= self._local.ends:
            return State.HALF_OPEN
        return self._local.state

    @property
    def seconds_open(self) -> float:
        """Seconds until it lets a call through, as far as this process knows; 0 when it is not open."""
        return self._left() if self._local.state is State.OPEN else 0.0

    def check(self) -> None:
        """Raise CircuitOpen if this process knows, without asking Redis, that the breaker is open."""
        if self.last_known is State.OPEN:
            raise self._rejected()

    async def __aenter__(self) -> Call:
        self.check()
        asking = asyncio.create_task(self._acquire())
        try:
            call = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(self._hand_back)  # it may be the probe's lease that arrives too late
            raise
        if call is None:
            raise self._rejected()
        _calls.set((*_calls.get(), (self, call)))
        return call

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        calls = _calls.get()
        place = max(index for index, (breaker, _call) in enumerate(calls) if breaker is self)
        call = calls[place][1]
        _calls.set(calls[:place] + calls[place + 1 :])
        outcome = self._judge(call, error)
        if outcome != "abandoned":
            self._tell(outcome)
        if recording := self._record_later(call, outcome):
            if isinstance(error, asyncio.CancelledError):
                return  # whoever was cancelled waits for nothing
            await asyncio.shield(recording)

    def __call__(self, function: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Decorate a coroutine function: each call of it goes through the breaker."""

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            async with self:
                return await function(*args, **kwargs)

        return guarded

    def _left(self) -> float:
        return max(0, self._local.ends - self._now()) / 1_000_000

    def _now(self) -> int:
        return microseconds((self._clock or time.monotonic)())

    async def _ask(self, script: Script, *arguments: Argument) -> tuple[bool, State, int]:
        asked = self._now()
        clock = "" if self._clock is None else asked
        done, state, generation, remaining = await self._redis.run(
            script, [self._key], [clock, *self._times, *arguments]
        )
        # Counted from before Redis was asked, so a slow answer rejects no call that Redis would admit.
        self._local.adopt(STATES[state], generation, asked + remaining)
        return bool(done), STATES[state], generation

    async def _acquire(self) -> Call | None:
        try:
            admitted, state, generation = await self._ask(ACQUIRE)
        except RedisAway:
            admitted = self._local.acquire(self._now())
            state, generation = self._local.state, self._local.generation
        if not admitted:
            return None
        if state is State.HALF_OPEN:
            self._tell("half_opened")
        return Call(generation, probe=state is State.HALF_OPEN)

    def _hand_back(self, asking: asyncio.Task[Call | None]) -> None:
        if not asking.cancelled() and (call := asking.result()):
            self._record_later(call, "abandoned")

    def _judge(self, call: Call, error: BaseException | None) -> Outcome:
        if call.ignored:
            return "abandoned"
        if error is None:
            return "success"
        if not isinstance(error, Exception):
            return "abandoned"
        return "failure" if self._is_failure(error) else "success"

    def _record_later(self, call: Call, outcome: Outcome) -> asyncio.Task[None] | None:
        """Record a result, unless it can change nothing, in a task that outlives a cancelled caller."""
        counts = outcome == "failure" or (outcome == "success" and self.policy.failure_rate is not None)
        if not call.probe and not counts:
            return None
        recording = asyncio.create_task(self._record(call, outcome))
        self._records.add(recording)
        recording.add_done_callback(self._records.discard)
        return recording

    async def _record(self, call: Call, outcome: Outcome) -> None:
        try:
            changed, state, _unused = await self._ask(RECORD, call.generation, outcome, *self._limits)
        except RedisAway:
            changed = self._local.record(self._now(), call.generation, outcome)
            state = self._local.state
        if changed:
            self._tell("opened" if state is State.OPEN else "closed")

    def _rejected(self) -> CircuitOpen:
        """While a probe is under way nobody knows how it will end: then clients are told to come back in a second."""
        self._tell("rejected")
        seconds = self._left()
        if self._local.state is not State.OPEN:
            seconds = min(seconds, 1.0)
        return CircuitOpen(f"{self.name} is out of order and is not called for now.", retry_after=seconds)

    def _tell(self, kind: Kind) -> None:
        for listener in self.listeners:
            try:
                listener(BreakerEvent(self.name, kind))
            except Exception:
                logger.exception("A listener of the breaker %s failed", self.name)
