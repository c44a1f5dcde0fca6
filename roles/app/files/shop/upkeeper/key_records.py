"""What became of an idempotency key: recorded in Redis for all workers and hosts, or in this process without it."""

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .shared import RedisAway, RedisState, Script, SharedRedis


class Outcome(StrEnum):
    """What a claim of a key came to."""

    CLAIMED = "claimed"  # it is the caller's now
    RUNNING = "running"  # somebody else's run has it
    ANSWERED = "answered"  # a run has ended, and here is its answer
    OTHER = "other"  # it belongs to a request with another fingerprint


class Claim(NamedTuple):
    """The outcome, and the answer if there is one."""

    outcome: Outcome
    answer: str = ""


_CLAIM = Script("""
local fingerprint, answer = unpack(redis.call('HMGET', KEYS[1], 'fingerprint', 'answer'))
if not fingerprint then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'claimed'}
elseif fingerprint ~= ARGV[1] then
  return {'other'}
elseif answer then
  return {'answered', answer}
end
return {'running'}
""")

_KEEP = Script("""
local token = redis.call('HGET', KEYS[1], 'token')
if token and token ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2], 'answer', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
""")

_FREE = Script("if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then redis.call('DEL', KEYS[1]) end")


class KeyRecords:
    """Claims and answers by key; they expire by themselves.

    This process remembers the keys that it claimed until Redis has their answers. So a key never gets a second answer
    here, also when Redis goes away in the middle, and answers of that time are told to Redis as soon as it is back. Up
    to `local_keys` are remembered; the oldest answers make room.
    """

    def __init__(self, redis: SharedRedis, *, prefix: str, local_keys: int) -> None:
        self._redis = redis
        self._prefix = prefix
        self._local = _LocalRecords(local_keys)
        self._telling: set[asyncio.Task[None]] = set()
        redis.on_change.append(self._on_change)

    async def claim(self, key: str, fingerprint: str, token: str, seconds: float) -> Claim:
        """Take the key for so many seconds, unless somebody has it."""
        if not self._local.knows(key):
            with contextlib.suppress(RedisAway):
                arguments = (fingerprint, token, _milliseconds(seconds))
                outcome, *answer = await self._redis.run(_CLAIM, [self._prefix + key], arguments)
                claim = Claim(Outcome(outcome.decode()), answer[0].decode() if answer else "")
                if claim.outcome is Outcome.CLAIMED:
                    self._local.claim(key, fingerprint, token, seconds)
                return claim
        return self._local.claim(key, fingerprint, token, seconds)

    async def keep(self, key: str, fingerprint: str, token: str, answer: str, seconds: float) -> None:
        """Record the answer of the run that claimed with this token, unless another run has the key by now."""
        self._local.keep(key, fingerprint, token, answer, seconds)
        await self._tell(key)

    async def free(self, key: str, token: str) -> None:
        """Give the key back, if it was claimed with this token."""
        self._local.free(key, token)
        with contextlib.suppress(RedisAway):  # the claim expires
            await self._redis.run(_FREE, [self._prefix + key], [token])

    async def _tell(self, key: str) -> None:
        """Let Redis have the answer of a key, which this process can then forget."""
        record = self._local.answered(key)
        if record is None:
            return
        with contextlib.suppress(RedisAway):
            arguments = (record.fingerprint, record.token, record.answer or "", _milliseconds(record.ends - _now()))
            if await self._redis.run(_KEEP, [self._prefix + key], arguments):
                self._local.free(key, record.token)

    def _on_change(self, state: RedisState) -> None:
        if state is RedisState.UP and (keys := self._local.answered_keys()):
            task = asyncio.get_running_loop().create_task(self._tell_all(keys))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell_all(self, keys: list[str]) -> None:
        await asyncio.gather(*(self._tell(key) for key in keys))


@dataclass(slots=True)
class _Record:
    fingerprint: str
    token: str
    ends: float
    answer: str | None = None


class _LocalRecords:
    """The same in a dictionary, the oldest record first. It is used by one event loop, so each method is one step."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._records: dict[str, _Record] = {}

    def knows(self, key: str) -> bool:
        record = self._records.get(key)
        if record is not None and record.ends <= _now():
            del self._records[key]
            return False
        return record is not None

    def claim(self, key: str, fingerprint: str, token: str, seconds: float) -> Claim:
        if not self.knows(key):
            self._add(key, _Record(fingerprint, token, _now() + seconds))
            return Claim(Outcome.CLAIMED)
        record = self._records[key]
        if record.fingerprint != fingerprint:
            return Claim(Outcome.OTHER)
        return Claim(Outcome.RUNNING) if record.answer is None else Claim(Outcome.ANSWERED, record.answer)

    def keep(self, key: str, fingerprint: str, token: str, answer: str, seconds: float) -> None:
        if not self.knows(key) or self._records[key].token == token:
            self._add(key, _Record(fingerprint, token, _now() + seconds, answer))

    def answered(self, key: str) -> _Record | None:
        record = self._records.get(key) if self.knows(key) else None
        return None if record is None or record.answer is None else record

    def answered_keys(self) -> list[str]:
        return [key for key, record in self._records.items() if record.answer is not None]

    def free(self, key: str, token: str) -> None:
        if self.knows(key) and self._records[key].token == token:
            del self._records[key]

    def _add(self, key: str, record: _Record) -> None:
        self._records.pop(key, None)
        if len(self._records) >= self._most:
            now = _now()
            gone = next(
                (each for each, old in self._records.items() if old.answer is not None or old.ends <= now), None
            )
            if gone is not None:  # claims of runs under way stay: their number is that of the requests in flight
                del self._records[gone]
        self._records[key] = record


def _now() -> float:
    return asyncio.get_running_loop().time()


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
