"""Counting requests for all workers and hosts in Redis, and going on without it.

Requests of one key that come while a round trip is under way ask together, in one step for as many permits as they are;
a key whose permits are used up is refused in this process until the next falls free.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

from .errors import Refusal
from .shared import SharedRedis
from .sliding_window import TAKE, Decision, MemoryLimiter, Policy

Outcome = Literal["refused", "local", "unavailable"]


class _Group:
    """Hits of one key that leave for Redis together."""

    __slots__ = ("left_at", "policy", "waiting")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.left_at = 0.0
        self.waiting: list[asyncio.Future[Decision | None]] = []


class RateLimiter:
    """Counts in Redis, and in this process while Redis is away.

    `on_outage` says what happens without Redis: "open" admits `local_share` of each limit (above 0, up to 1; rounded
    down to at least one request) in this process, "closed" answers 503. The default of a quarter is for four workers,
    which together admit the limit. `prefix` begins every key: give each application that shares a Redis its own.
    `max_keys` bounds what this process remembers.

    `on_decision(policy, outcome)` is called for a request that is "refused", one that is counted "local" because Redis
    is away, and one that is turned away as "unavailable"; those that Redis admits, which are most, cost nothing.
    """

    def __init__(
        self,
        redis: SharedRedis,
        *,
        on_outage: Literal["open", "closed"] = "open",
        local_share: float = 0.25,
        prefix: str = "rate-limit",
        max_keys: int = 10_000,
        on_decision: Callable[[Policy, Outcome], None] | None = None,
    ) -> None:
        if not 0 < local_share <= 1:
            raise ValueError(f"local_share is {local_share}: above 0 and at most 1 is needed")
        self._redis = redis
        self._on_outage = on_outage
        self._local_share = local_share
        self._prefix = prefix + ":"
        self._max_keys = max_keys
        self._on_decision = on_decision
        self._groups: dict[str, _Group] = {}
        self._free_at: dict[str, float] = {}
        self._memory = MemoryLimiter(max_keys=max_keys)
        self._local: dict[str, Policy] = {}

    async def hit(self, policy: Policy, key: str) -> Decision:
        """Count one request of `key`. Refusal (503) without Redis, when this limiter is to be closed then."""
        decision = self.hit_here(policy, key)
        if decision is None:
            decision = await self._ask(policy, self._prefix + policy.bucket + key)
            if decision is None:
                return self._without_redis(policy, key)
            if not decision.allowed:
                self._tell(policy, "refused")
        return decision

    def hit_here(self, policy: Policy, key: str) -> Decision | None:
        """As `hit`, where this process can decide alone, without the cost of a coroutine; None where Redis has to."""
        if not self._redis.available:
            return self._without_redis(policy, key)
        decision = self._known_refusal(policy, self._prefix + policy.bucket + key) if self._free_at else None
        if decision is not None:
            self._tell(policy, "refused")
        return decision

    def _known_refusal(self, policy: Policy, bucket: str) -> Decision | None:
        free_at = self._free_at.get(bucket)
        if free_at is None:
            return None
        wait = free_at - time.monotonic()
        if wait > 0:
            return Decision(policy, False, 0, wait)
        del self._free_at[bucket]
        return None

    async def _ask(self, policy: Policy, bucket: str) -> Decision | None:
        """The decision of Redis; None when it is away."""
        group = self._groups.get(bucket)
        if group is None:
            group = self._groups[bucket] = _Group(policy)
            self._send(group, bucket)
        hit: asyncio.Future[Decision | None] = asyncio.get_running_loop().create_future()
        group.waiting.append(hit)
        return await hit

    def _send(self, group: _Group, bucket: str) -> None:
        def leave() -> tuple[int, int, int, int]:
            del self._groups[bucket]
            group.left_at = time.monotonic()
            return (group.policy.limit, *group.policy.microseconds, len(group.waiting))

        def arrived(answer: asyncio.Future[Any]) -> None:
            if answer.exception() is None:
                self._hand_out(group, bucket, *answer.result())
                return
            if self._groups.get(bucket) is group:
                del self._groups[bucket]
            for hit in group.waiting:
                if not hit.done():
                    hit.set_result(None)

        self._redis.submit(TAKE, [bucket], leave).add_done_callback(arrived)

    def _hand_out(self, group: _Group, bucket: str, granted: int, remaining: int, wait: int) -> None:
        """Give the permits to those who wait: first come, first served."""
        reset = wait / 1_000_000
        for place, hit in enumerate(group.waiting):
            if not hit.done():
                left = granted - place - 1
                hit.set_result(Decision(group.policy, left >= 0, remaining + max(0, left), reset))
        if remaining == 0:
            # A permit is never given back, so until then Redis could only say the same again. The wait is counted from
            # before Redis was asked, so a slow answer refuses nobody whose permit is free.
            if len(self._free_at) >= self._max_keys:
                del self._free_at[next(iter(self._free_at))]
            self._free_at[bucket] = group.left_at + reset

    def _without_redis(self, policy: Policy, key: str) -> Decision:
        self._redis.require_start()
        if self._on_outage == "closed":
            self._tell(policy, "unavailable")
            raise Refusal("Requests cannot be counted at the moment.", retry_after=1)
        if self._redis.configured:
            self._tell(policy, "local")
        local = self._local.get(policy.bucket)
        if local is None:
            share = max(1, int(policy.limit * self._local_share))
            local = self._local[policy.bucket] = Policy(policy.name, share, policy.window)
        decision = self._memory.hit(local, key)
        if not decision.allowed:
            self._tell(policy, "refused")
        return decision

    def _tell(self, policy: Policy, outcome: Outcome) -> None:
        if self._on_decision is not None:
            self._on_decision(policy, outcome)
