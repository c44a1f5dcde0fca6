"""State that all workers and hosts share: Lua scripts in Redis, and the knowledge whether Redis answers.

Scripts that are asked for while one round trip is under way leave together in the next: under load the cost of a round
trip is shared by many requests, without any of them being counted twice or late. Nothing waits for a Redis that is
away: the first failure is noticed within `timeout`, every later call fails at once, and one task asks until it is back.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

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

    def __init__(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        self.script = script
        self.keys = len(keys)
        self.parameters = (*keys, *arguments)
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class SharedRedis:
    """The one way of this process to Redis.

    `url` is as redis-py takes it (`unix:///run/redis/redis.sock`, `redis://:password@10.0.0.5:6379/0`); an empty one
    means that there is none, so every call raises RedisAway. `timeout` bounds one round trip and `check_every` is the
    pause between two attempts to reach a Redis that is away; both in seconds. Use it between `start` and `close`, in
    one event loop.
    """

    def __init__(self, url: str, *, timeout: float = 0.25, check_every: float = 0.5) -> None:
        self.available = False
        self.configured = bool(url)
        self.on_change: list[Callable[[bool], None]] = []
        self._client = Redis.from_url(url, socket_timeout=None, socket_connect_timeout=timeout) if url else None
        self._timeout = timeout
        self._check_every = check_every
        self._queue: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect. A Redis that is away is not an error: it is looked for until it is there."""
        if self._client is not None and not await self._reached():
            self._watch()

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
        call = _Call(script, keys, arguments)
        self._queue.append(call)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await call.answer

    async def _send(self) -> None:
        """Send what waits, one round trip after the other, until nothing waits."""
        batch: list[_Call] = []
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                async with asyncio.timeout(self._timeout):
                    answers = await self._round_trip(batch)
                for call, answer in zip(batch, answers, strict=True):
                    _settle(call, answer)
        except (RedisError, OSError, TimeoutError) as error:
            await self._lost(error)
        finally:
            self._sender = None
            for call in (*batch, *self._queue):
                _settle(call, RedisAway())
            self._queue.clear()

    async def _round_trip(self, batch: list[_Call]) -> list[Any]:
        assert self._client is not None
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            pipeline.evalsha(call.script.digest, call.keys, *call.parameters)
        answers = await pipeline.execute(raise_on_error=False)
        for index, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):  # a new Redis, or one whose scripts were flushed
                call = batch[index]
                answers[index] = await self._client.eval(call.script.source, call.keys, *call.parameters)
        return list(answers)

    async def _lost(self, error: Exception) -> None:
        logger.warning("Redis is away: %s", error or type(error).__name__)
        self._set_available(False)
        assert self._client is not None
        with contextlib.suppress(RedisError, OSError):
            # A connection with half an answer in it must never be used again.
            await self._client.connection_pool.disconnect()
        self._watch()

    def _watch(self) -> None:
        self._watcher = asyncio.create_task(self._wait_until_back())

    async def _wait_until_back(self) -> None:
        while not await self._reached():
            await asyncio.sleep(self._check_every)
        logger.warning("Redis is back")

    async def _reached(self) -> bool:
        assert self._client is not None
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._client.ping()
            self._set_available(True)
        return self.available

    def _set_available(self, available: bool) -> None:
        if available != self.available:
            self.available = available
            for listener in self.on_change:
                listener(available)


def _settle(call: _Call, answer: Any) -> None:
    """Give a call its answer, unless whoever waited was cancelled or has it already."""
    if call.answer.done():
        return
    if isinstance(answer, RedisError):  # out of memory, read-only, loading: it answers, and cannot help
        logger.warning("Redis refused a script: %s", answer)
        answer = RedisAway(str(answer))
    if isinstance(answer, Exception):
        call.answer.set_exception(answer)
    else:
        call.answer.set_result(answer)
