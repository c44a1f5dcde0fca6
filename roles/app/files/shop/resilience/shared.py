"""State that all workers and hosts share: Lua scripts in Redis, and the knowledge whether Redis answers.

Scripts that are asked for while one round trip is under way leave together in the next: under load the cost of a round
trip is shared by many requests, without any of them being counted twice or late. Nothing waits for a Redis that is
away: the first failure is noticed within `timeout`, every later call fails at once, and one task asks until it is back.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from resilience.alarms import Alarm, Alarms

logger = logging.getLogger(__name__)

Argument = str | int | float


class RedisAway(Exception):  # noqa: N818 - a state to be handled, not an error of the program
    """Redis did not answer, or refused: go on with what this process knows."""


class Script:
    """Lua that Redis runs as one atomic step."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class _Call:
    """A script that waits for its answer."""

    def __init__(self, script: Script, keys: Sequence[str], arguments: Callable[[], Sequence[Argument]]) -> None:
        self.script = script
        self.keys = keys
        self.arguments = arguments
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class SharedRedis:
    """The one way of this process to Redis.

    `url` is as redis-py takes it (`unix:///run/redis/redis.sock`, `redis://:password@10.0.0.5:6379/0`); an empty one
    means that there is none, so every call raises RedisAway. `timeout` bounds one round trip (up to five times as long
    where this process itself was too busy to read the answer) and `check_every` is the pause between two attempts to
    reach a Redis that is away; both in seconds. Use it between `start` and `close`, in one event loop.
    """

    def __init__(self, url: str, *, timeout: float = 0.25, check_every: float = 0.5) -> None:
        self.available = False
        self.configured = bool(url)
        self.on_change: list[Callable[[bool], None]] = []
        # A script whose answer was lost may have run, so nothing is sent twice. One time-out for a whole round trip is
        # enough: redis-py would set one for each answer in it.
        once = Retry(NoBackoff(), 0)
        self._client = (
            Redis.from_url(url, socket_connect_timeout=timeout, socket_timeout=None, retry=once) if url else None
        )
        self._alarms = Alarms(timeout, patience=4 * timeout)
        self._check_every = check_every
        self._refused: set[Script] = set()
        self._queue: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect. A Redis that is away is not an error: it is looked for until it is there."""
        if self._client is not None:
            try:
                await self._ping()
            except (RedisError, OSError) as error:
                self._lost(error)

    async def close(self) -> None:
        """Let go of the connections."""
        self._set_available(False)
        for task in (self._watcher, self._sender):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._client is not None:
            await self._client.aclose()

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Run a script and return its answer; RedisAway when there is none within the time-out."""
        if not self.available:
            raise RedisAway
        return await self.submit(script, keys, lambda: arguments)

    def submit(
        self, script: Script, keys: Sequence[str], arguments: Callable[[], Sequence[Argument]]
    ) -> asyncio.Future[Any]:
        """Like `run`, for arguments that grow while the call waits: they are asked for once, when it leaves."""
        call = _Call(script, keys, arguments)
        if not self.available:
            call.answer.set_exception(RedisAway())
            return call.answer
        self._queue.append(call)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return call.answer

    async def _send(self) -> None:
        """Send what waits, one round trip after the other, until nothing waits."""
        batch: list[_Call] = []
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                with self._in_time():
                    answers = await self._round_trip(batch)
                for call, answer in zip(batch, answers, strict=True):
                    self._settle(call, answer)
        except (RedisError, OSError) as error:  # a time-out is an OSError
            self._lost(error)
        finally:
            self._sender = None
            for call in (*batch, *self._queue):
                if not call.answer.done():
                    call.answer.set_exception(RedisAway())
            self._queue.clear()

    async def _round_trip(self, batch: list[_Call]) -> list[Any]:
        assert self._client is not None
        parameters = [(*call.keys, *call.arguments()) for call in batch]
        pipeline = self._client.pipeline(transaction=False)
        for call, given in zip(batch, parameters, strict=True):
            pipeline.evalsha(call.script.digest, len(call.keys), *given)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        # A new Redis, or one whose scripts were flushed.
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        for place in unknown:
            call = batch[place]
            pipeline.eval(call.script.source, len(call.keys), *parameters[place])
        for place, answer in zip(unknown, await pipeline.execute(raise_on_error=False), strict=True):
            answers[place] = answer
        return answers

    def _settle(self, call: _Call, answer: Any) -> None:
        """Give a call its answer, unless whoever waited was cancelled."""
        refused = isinstance(answer, RedisError)  # out of memory, read-only, an error in the script
        if refused and call.script not in self._refused:
            logger.warning("Redis refuses a script: %s", answer)
            self._refused.add(call.script)
        elif not refused and call.script in self._refused:
            logger.warning("Redis runs the script again")
            self._refused.remove(call.script)
        if call.answer.done():
            return
        if refused:
            call.answer.set_exception(RedisAway(str(answer)))
        else:
            call.answer.set_result(answer)

    def _lost(self, error: Exception) -> None:
        logger.warning("Redis is away: %s", str(error) or type(error).__name__)
        self._set_available(False)
        self._watcher = asyncio.create_task(self._wait_until_back())

    async def _wait_until_back(self) -> None:
        assert self._client is not None
        with contextlib.suppress(RedisError, OSError):
            # A connection with half an answer in it must never be used again.
            await self._client.connection_pool.disconnect()
        while True:
            with contextlib.suppress(RedisError, OSError):
                await self._ping()
                break
            await asyncio.sleep(self._check_every)
        logger.warning("Redis is back")

    async def _ping(self) -> None:
        assert self._client is not None
        with self._in_time():
            await self._client.ping()
        self._set_available(True)

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        with Alarm(self._alarms) as alarm:
            yield
        if alarm.rang:
            raise TimeoutError(f"no answer within {self._alarms.seconds:g} s")

    def _set_available(self, available: bool) -> None:
        if available != self.available:
            self.available = available
            for listener in self.on_change:
                listener(available)
