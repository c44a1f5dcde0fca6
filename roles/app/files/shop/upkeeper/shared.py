"""State that all workers and hosts share: Lua scripts in Redis, and the knowledge whether Redis answers.

Scripts that are asked for while one round trip is under way leave together in the next: under load the cost of a round
trip is shared by many requests, without any of them being counted twice or late. Nothing waits for a Redis that is
away: the first failure is noticed within `timeout`, every later call fails at once, and one task asks until it is back.
"""

import asyncio
import contextlib
import enum
import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)

from .alarms import Alarm, Alarms

logger = logging.getLogger(__name__)

Argument = str | int | float


# Refusals that concern every write. A script with an error in it is refused, too, but harms nobody else.
_REFUSALS = (BusyLoadingError, NoPermissionError, OutOfMemoryError, ReadOnlyError)
_NOT_ALLOWED = ("The user executing the script can't", "ACL failure in script")  # in a script, by 7.0 and since 7.2
_REFUSAL_TEXTS = ("MISCONF", "NOREPLICAS", "MASTERDOWN", *_NOT_ALLOWED)


class RedisState(enum.StrEnum):
    """What this process knows of its Redis.

    `REFUSING` means that it answers and takes no writes: it is full (OOM), cannot save (MISCONF), is loading, or its
    user has no permission. Each process then goes on alone, as it does while Redis is `AWAY`.
    """

    NOT_CONFIGURED = "not set up"
    NOT_STARTED = "not started"
    UP = "up"
    REFUSING = "refusing"
    AWAY = "down"


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

    `url` is as redis-py takes it (`unix:///run/redis/redis.sock`, `redis://:password@10.0.0.5:6379/0`), or names the
    Sentinels of a group, which are asked for its primary whenever a connection is opened
    (`redis+sentinel://:password@10.0.0.5:26379,10.0.0.6:26379,10.0.0.7:26379/primary/0`; Redis and Sentinels have the
    same password). An empty one means that there is none, so every call raises RedisAway. `timeout` bounds one round
    trip (up to five times as long where this process itself was too busy to read the answer) and `check_every` is the
    pause between two attempts to reach a Redis that is away or refuses writes; both in seconds. Use it between `start`
    and `close`, in one event loop: a call before `start` raises RuntimeError. ValueError for an URL that is none of
    these.

    `state` and `reason` say how Redis is; each of `on_change` is called with the new state, and must not block.
    """

    def __init__(self, url: str, *, timeout: float = 0.25, check_every: float = 0.5) -> None:
        self.state = RedisState.NOT_STARTED if url else RedisState.NOT_CONFIGURED
        self.reason = ""
        self.available = False  # whether the state is UP: what each request asks
        self.configured = bool(url)
        self.on_change: list[Callable[[RedisState], None]] = []
        self._client: Redis | None = None
        self._sentinels: list[Redis] = []
        if url:
            self._client, self._sentinels = _clients(url, timeout)
        self._alarms = Alarms(timeout, patience=4 * timeout)
        # Nobody waits for the search, in which each Sentinel may be one that is away.
        self._search_alarms = Alarms((1 + len(self._sentinels)) * timeout, patience=4 * timeout)
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
        self._set_state(RedisState.AWAY if self.configured else RedisState.NOT_CONFIGURED)
        for task in (self._watcher, self._sender):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for client in (self._client, *self._sentinels):
            if client is not None:
                await client.aclose()

    async def check(self) -> None:
        """A check for `Readiness`: RedisAway with the reason when a Redis that is set up is away or refuses writes."""
        if self.configured and not self.available:
            raise RedisAway(self.reason or self.state.value)

    def require_start(self) -> None:
        """Raise RuntimeError when somebody forgot `start`: without it each process would silently stay alone."""
        if self.state is RedisState.NOT_STARTED:
            raise RuntimeError("Redis is set up but not started: await redis.start() in the application's lifespan.")

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Run a script and return its answer; RedisAway when there is none within the time-out."""
        if not self.available:
            self.require_start()
            raise RedisAway
        return await self.submit(script, keys, lambda: arguments)

    def submit(
        self, script: Script, keys: Sequence[str], arguments: Callable[[], Sequence[Argument]]
    ) -> asyncio.Future[Any]:
        """Like `run`, for arguments that grow while the call waits: they are asked for once, when it leaves."""
        call = _Call(script, keys, arguments)
        if not self.available:
            self.require_start()
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
                with self._in_time(self._alarms):
                    answers = await self._round_trip(batch)
                for call, answer in zip(batch, answers, strict=True):
                    self._settle(call, answer)
                    if _is_refusal(answer) and self.available:
                        self._lost(answer, call.keys[0])
                if not self.available:
                    break
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
        parameters = [[_encoded(each) for each in (*call.keys, *call.arguments())] for call in batch]
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
        refused = isinstance(answer, RedisError)
        if refused and not _is_refusal(answer) and call.script not in self._refused:
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

    def _lost(self, error: Exception, key: str = "") -> None:
        """Go on alone until Redis is back; `key` is one whose write was refused."""
        reason = str(error) or type(error).__name__
        if isinstance(error, MasterNotFoundError):  # which adds all that it knows of each Sentinel
            reason = reason.partition(" : ")[0]
        # A primary that became a replica is no longer the one that the address or the Sentinels name.
        refuses = _is_refusal(error) and not isinstance(error, ReadOnlyError)
        logger.warning("Redis %s: %s", "refuses writes" if refuses else "is away", reason)
        self._set_state(RedisState.REFUSING if refuses else RedisState.AWAY, reason)
        self._watcher = asyncio.create_task(self._wait_until_back(key))

    async def _wait_until_back(self, key: str) -> None:
        assert self._client is not None
        while True:
            if self.state is RedisState.AWAY:
                for client in (self._client, *self._sentinels):
                    with contextlib.suppress(RedisError, OSError):
                        # What is open may lead to a former primary, or have half an answer in it.
                        await client.connection_pool.disconnect()
            with contextlib.suppress(RedisError, OSError):
                await self._ping(key)
                break
            await asyncio.sleep(self._check_every)
        logger.warning("Redis is back")

    async def _ping(self, key: str = "") -> None:
        assert self._client is not None
        with self._in_time(self._search_alarms):
            if key:
                await self._client.eval(_WRITE, 1, _encoded(f"{key}:write"))
            elif not self._sentinels:
                await self._client.ping()
            # A Sentinel that was away names the primary of before until the others have told it.
            elif (await self._client.info("replication"))["role"] != "master":
                raise ReadOnlyError("the Redis that a Sentinel names is a replica")
        self._set_state(RedisState.UP)

    @contextlib.contextmanager
    def _in_time(self, alarms: Alarms) -> Iterator[None]:
        with Alarm(alarms) as alarm:
            yield
        if alarm.rang:
            raise TimeoutError(f"no answer within {alarms.seconds:g} s")

    def _set_state(self, state: RedisState, reason: str = "") -> None:
        self.reason = reason
        if state is not self.state:
            self.state = state
            self.available = state is RedisState.UP
            for listener in self.on_change:
                listener(state)


# What the scripts of this package write with: it is refused where one of them would be.
_WRITE = """
redis.call('HSET', KEYS[1], 'field', 1)
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('DEL', KEYS[1])
redis.call('RPUSH', KEYS[1], 1)
return redis.call('DEL', KEYS[1])
"""


def _is_refusal(answer: object) -> bool:
    return isinstance(answer, _REFUSALS) or (isinstance(answer, RedisError) and str(answer).startswith(_REFUSAL_TEXTS))


def _encoded(value: Argument) -> Argument | bytes:
    """Text as bytes. A lone surrogate, as a JSON string may hold one, must not fail the calls that leave with it."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


_SENTINEL_SCHEME = "redis+sentinel://"
_SENTINEL_URL = re.compile(re.escape(_SENTINEL_SCHEME) + r"(?:([^:@/]*):([^@/]*)@)?([^@/]+)/([\w.-]+)(?:/(\d+))?")
_SENTINEL_PORT = 26379


def _clients(url: str, timeout: float) -> tuple[Redis, list[Redis]]:
    """A client of the Redis, and those of the Sentinels that it asks where that is.

    The form of the URL is that of the package redis-sentinel-url.
    """
    # A script whose answer was lost may have run, so nothing is sent twice. One time-out for a whole round trip is
    # enough: redis-py would set one for each answer in it.
    once = Retry(NoBackoff(), 0)
    options: dict[str, Any] = {"socket_connect_timeout": timeout, "socket_timeout": None, "retry": once}
    if not url.startswith(_SENTINEL_SCHEME):
        return Redis.from_url(url, **options), []
    parts = _SENTINEL_URL.fullmatch(url)
    if parts is None:
        raise ValueError(f"write {_SENTINEL_SCHEME}:PASSWORD@HOST:{_SENTINEL_PORT},HOST:{_SENTINEL_PORT}/NAME/0")
    user, password, addresses, name, database = parts.groups(default="")
    options |= {"username": unquote(user) or None, "password": unquote(password) or None}
    hosts = [urlsplit(f"//{address}") for address in addresses.split(",")]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [(host.hostname, host.port or _SENTINEL_PORT) for host in hosts],
        sentinel_kwargs={**options, "socket_timeout": timeout},
        **options,
    )
    return sentinel.master_for(name, db=int(database or 0)), list(sentinel.sentinels)
