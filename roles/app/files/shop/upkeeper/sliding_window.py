"""How many calls a window may hold, counted exactly: the sliding window log, in this process and as a step in Redis.

Every admitted call is kept until it is a window old, so no window of that length, wherever it begins, ever holds more
than the limit. (A fixed window and a token bucket of the same size both let twice the limit through in some window.)
Time is cut into slots, a thousand to a window, and calls of one slot leave together when the *end* of the slot is a
window old: the log of a key has at most a thousand entries, and a permit comes back up to a thousandth of the window
late, never early.
"""

import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple

from .shared import Script

SLOTS = 1000


@dataclass(frozen=True)
class Policy:
    """At most `limit` requests in any `window` seconds.

    `name` is what clients read and what calls are counted under, so give each policy its own: letters, digits and
    `.`, `_`, `-`. `limit` is 1 or more, `window` at least 0.001. ValueError for anything else.
    """

    name: str
    limit: int
    window: float

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.name):
            raise ValueError(f"the name of a policy has letters, digits and . _ - only: {self.name!r}")
        if self.limit < 1:
            raise ValueError(f"the limit of policy {self.name!r} is {self.limit}: at least 1 is needed")
        if self.window < 0.001:
            raise ValueError(f"the window of policy {self.name!r} is {self.window} s: at least 0.001 is needed")

    @cached_property
    def bucket(self) -> str:
        """What the keys of this policy begin with. A window of another length has slots of another length."""
        return f"{self.name}:{self.microseconds[0]}:"

    @cached_property
    def quoted_name(self) -> bytes:
        """The name as a string of a structured header field (RFC 9651)."""
        return f'"{self.name}"'.encode()

    @cached_property
    def quota(self) -> bytes:
        """The limit as a header has it."""
        return b"%d" % self.limit

    @cached_property
    def header(self) -> bytes:
        """This policy as an item of `RateLimit-Policy`, which knows whole seconds only."""
        return b"%b;q=%d;w=%d" % (self.quoted_name, self.limit, ceil(self.window))

    @cached_property
    def nanoseconds(self) -> tuple[int, int]:
        """The window and one slot."""
        window = ceil(self.window * 1_000_000_000)
        return window, window // SLOTS

    @cached_property
    def microseconds(self) -> tuple[int, int]:
        """The window and one slot."""
        window = ceil(self.window * 1_000_000)
        return window, window // SLOTS


class Decision(NamedTuple):
    """What became of one call.

    `remaining` is how many more calls would be admitted now, `reset` the seconds until that number grows again: the
    moment when the oldest call that counts is a window old.
    """

    policy: Policy
    allowed: bool
    remaining: int
    reset: float

    @property
    def limit(self) -> int:
        """Calls in a window."""
        return self.policy.limit

    @property
    def retry_after(self) -> float | None:
        """Seconds until a refused call would have been admitted; None for one that was admitted."""
        return None if self.allowed else self.reset


class _Log:
    """The admitted calls of one key: when each slot leaves (in nanoseconds) and how many calls it holds."""

    __slots__ = ("slots", "used")

    def __init__(self) -> None:
        self.slots: deque[list[int]] = deque()
        self.used = 0


class MemoryLimiter:
    """Counts in this process.

    `clock` gives nanoseconds and never goes back. The logs of at most `max_keys` keys are kept: those whose calls have
    all left go first, and then the one that was admitted least recently, which thereby starts anew.
    """

    def __init__(self, *, clock: Callable[[], int] = time.monotonic_ns, max_keys: int = 10_000) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._logs: OrderedDict[str, _Log] = OrderedDict()

    def __len__(self) -> int:
        return len(self._logs)

    def hit(self, policy: Policy, key: str) -> Decision:
        """Count one call, if it is admitted."""
        now = self._clock()
        bucket = policy.bucket + key
        log = self._logs.get(bucket)
        if log is None:
            self._make_room(now)
            log = self._logs[bucket] = _Log()
        slots = log.slots
        while slots and slots[0][0] <= now:
            log.used -= slots.popleft()[1]
        remaining = policy.limit - log.used - 1
        if remaining < 0:
            return Decision(policy, False, 0, (slots[0][0] - now) / 1e9)
        window, slot = policy.nanoseconds
        leaves = (now // slot + 1) * slot + window
        if slots and slots[-1][0] == leaves:
            slots[-1][1] += 1
        else:
            slots.append([leaves, 1])
        log.used += 1
        self._logs.move_to_end(bucket)
        return Decision(policy, True, remaining, (slots[0][0] - now) / 1e9)

    def _make_room(self, now: int) -> None:
        # Two out for one in: what has expired goes faster than new keys come, and no call pays for all of it.
        for _unused in range(2):
            if not self._logs:
                return
            oldest = next(iter(self._logs.values()))
            if oldest.slots[-1][0] > now and len(self._logs) < self._max_keys:
                return
            self._logs.popitem(last=False)


# One list per key, of totals with slots between them: [total, slot, total, slot, total]. The first total is what has
# left, the last is all that ever came, so what counts now is their difference, and both ends are cheap to reach.
# A clock that was set back would keep all calls for as long as it was set back, so they move with it: then they count
# for a window at most. The key has an expiry from the same step that makes it, and all that can fail comes before.
TAKE = Script("""
local log = KEYS[1]
local limit, window, slot = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local wanted = tonumber(ARGV[4])
local expiry = math.ceil((window + 2 * slot) / 1000)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local current = math.floor(now / slot)
local total = tonumber(redis.call('LINDEX', log, -1))
local newest = tonumber(redis.call('LINDEX', log, -2))

if newest and newest > current then
  local entries = redis.call('LRANGE', log, 0, -1)
  for i = 2, #entries, 2 do
    entries[i] = entries[i] - newest + current
  end
  redis.call('DEL', log)
  redis.call('RPUSH', log, unpack(entries))
  newest = current
end

local oldest = tonumber(redis.call('LINDEX', log, 1))
while oldest and (oldest + 1) * slot + window <= now do
  redis.call('LPOP', log, 2)
  oldest = tonumber(redis.call('LINDEX', log, 1))
end

local used = (total or 0) - (tonumber(redis.call('LINDEX', log, 0)) or 0)
local granted = math.max(0, math.min(wanted, limit - used))
if granted > 0 then
  if not total then
    redis.call('RPUSH', log, 0, current, granted)
  elseif newest == current then
    redis.call('LSET', log, -1, total + granted)
  else
    redis.call('RPUSH', log, current, total + granted)
  end
  oldest = oldest or current
end
redis.call('PEXPIRE', log, expiry)
return {granted, math.max(0, limit - used - granted), (oldest + 1) * slot + window - now}
""")
"""Takes up to ARGV[4] permits of KEYS[1]; ARGV[1..3] are the limit, the window and a slot, both in microseconds.

Answers how many were granted, how many remain, and the microseconds until the next falls free.
"""
