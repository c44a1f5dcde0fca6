"""The states of a circuit breaker and how it goes from one to the next: once in Python, and once in Lua for Redis.

closed: calls pass and failures are counted. open: no call passes for `recovery_time`. half-open: one call, the probe,
tries for everybody; its lease ends after `probe_timeout`, then the next call is the probe.

Every change of state begins a new generation, and a result counts only in the generation in which its call began. So
calls that outlive the period they began in, and probes whose lease has run out, can neither open nor close anything.
"""

import enum
from dataclasses import dataclass
from typing import Literal

from .shared import Argument, Script

Outcome = Literal["success", "failure", "abandoned"]

_SLICES = 10  # of a window; what is older goes slice by slice


class State(enum.Enum):
    """What a breaker does with the next call: pass it, refuse it, or take it as the probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


STATES = {state.value.encode(): state for state in State}


@dataclass(frozen=True)
class BreakerPolicy:
    """When a breaker opens, and how it closes again. Times are in seconds.

    It opens at `failures` failures within `window`, or when at least `minimum_calls` calls ended within `window` and
    the share `failure_rate` (above 0, at most 1) of them failed; None switches one of the two off. The window moves on
    in tenths, so a failure may count for up to a tenth longer, never shorter. `probe_timeout` is when a probe without
    a result is given up: it must be longer than the longest call.
    """

    failures: int | None = 5
    window: float = 30.0
    failure_rate: float | None = None
    minimum_calls: int = 10
    recovery_time: float = 30.0
    probe_timeout: float = 60.0

    def __post_init__(self) -> None:
        if self.failures is None and self.failure_rate is None:
            raise ValueError("A breaker needs failures, failure_rate or both, or it never opens.")
        if self.failures is not None and self.failures < 1:
            raise ValueError(f"failures is {self.failures}; it must be at least 1.")
        if self.failure_rate is not None and not 0 < self.failure_rate <= 1:
            raise ValueError(f"failure_rate is {self.failure_rate}; it must be above 0 and at most 1.")
        for name in ("window", "recovery_time", "probe_timeout", "minimum_calls"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0.")

    def opens(self, failures: int, calls: int) -> bool:
        """Whether so many failures among so many calls are too many."""
        if self.failures is not None and failures >= self.failures:
            return True
        return (
            self.failure_rate is not None
            and calls >= self.minimum_calls
            and failures >= self.failure_rate * calls
            and failures > 0
        )


class LocalState:
    """The breaker of one process. The scripts below do the same in Redis; times are whole microseconds in both."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.state = State.CLOSED
        self.generation = 0
        self.ends = 0  # of the open state, or of the probe's lease
        self._policy = policy
        self._slice = microseconds(policy.window / _SLICES)
        self._counts: dict[int, list[int]] = {}  # by slice: failures, calls

    def acquire(self, now: int) -> bool:
        """Whether a call may begin now; in the half-open state it is the probe."""
        if self.state is State.CLOSED:
            return True
        if now < self.ends:
            return False
        self._begin(State.HALF_OPEN, now, self._policy.probe_timeout)
        return True

    def record(self, now: int, generation: int, outcome: Outcome) -> bool:
        """Take in how a call of that generation ended; whether it changed the state."""
        if generation != self.generation:
            return False
        if self.state is State.HALF_OPEN and now < self.ends:
            if outcome == "success":
                self._begin(State.CLOSED, now, 0)
            elif outcome == "failure":
                self._begin(State.OPEN, now, self._policy.recovery_time)
            else:
                self.ends = now
            return outcome != "abandoned"
        if self.state is State.CLOSED and outcome != "abandoned" and self._too_many(now, outcome):
            self._begin(State.OPEN, now, self._policy.recovery_time)
            return True
        return False

    def adopt(self, state: State, generation: int, ends: int) -> None:
        """Take over what Redis says."""
        if generation != self.generation:
            self._counts.clear()
        self.state, self.generation, self.ends = state, generation, ends

    def _begin(self, state: State, now: int, seconds: float) -> None:
        self.adopt(state, self.generation + 1, now + microseconds(seconds))

    def _too_many(self, now: int, outcome: Outcome) -> bool:
        current = now // self._slice
        count = self._counts.setdefault(current, [0, 0])
        count[0] += outcome == "failure"
        count[1] += 1
        for old in [index for index in self._counts if index < current - _SLICES]:
            del self._counts[old]
        failures, calls = map(sum, zip(*self._counts.values(), strict=True))
        return self._policy.opens(failures, calls)


# ARGV: clock in µs for tests or "", recovery time and probe time-out in µs. A key lives for a day after its last use.
_READ = """
local key, now = KEYS[1], tonumber(ARGV[1])
local recovery, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local stored = redis.call('HMGET', key, 'state', 'generation', 'ends', 'seen', 'shift')
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local seen, shift = tonumber(stored[4]) or 0, tonumber(stored[5]) or 0
if now + shift < seen then shift = seen - now end  -- the server's clock was set back: go on from where it was
now = now + shift
local state, generation, ends = stored[1] or 'closed', tonumber(stored[2]) or now, tonumber(stored[3]) or 0

local function begin(next_state, lasts)
  redis.call('DEL', key)
  state, generation, ends = next_state, generation + 1, now + lasts
end

local function save()
  redis.call('HSET', key, 'state', state, 'generation', generation, 'ends', ends, 'seen', now, 'shift', shift)
  redis.call('PEXPIRE', key, 86400000)
end

local function answer(done)
  return {done, state, generation, math.max(0, ends - now)}
end
"""

LOOK = Script(_READ + "return answer(0)")

ACQUIRE = Script(
    _READ
    + """
local admitted = 1
if state ~= 'closed' then
  if now >= ends then begin('half-open', lease) else admitted = 0 end
end
save()
return answer(admitted)
"""
)

# Further ARGV: generation, outcome, slice in µs and their number, failures or 0, failure rate or 0, minimum of calls.
RECORD = Script(
    _READ
    + """
local outcome, slice, slices = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local limit, rate, minimum = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local function too_many()
  local current = math.floor(now / slice)
  redis.call('HINCRBY', key, outcome .. ':' .. string.format('%.0f', current), 1)
  local counts = {success = 0, failure = 0}
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local kind, index = string.match(fields[i], '^(%a+):(%d+)$')
    if kind and tonumber(index) < current - slices then
      redis.call('HDEL', key, fields[i])
    elseif kind then
      counts[kind] = counts[kind] + fields[i + 1]
    end
  end
  local failures, calls = counts.failure, counts.failure + counts.success
  return limit > 0 and failures >= limit
    or rate > 0 and calls >= minimum and failures >= rate * calls and failures > 0
end

local changed = 0
if tonumber(ARGV[4]) == generation then
  if state == 'half-open' and now < ends then
    if outcome == 'success' then
      begin('closed', 0)
    elseif outcome == 'failure' then
      begin('open', recovery)
    else
      ends = now
    end
    changed = outcome == 'abandoned' and 0 or 1
  elseif state == 'closed' and outcome ~= 'abandoned' and too_many() then
    begin('open', recovery)
    changed = 1
  end
  save()
end
return answer(changed)
"""
)


def script_arguments(policy: BreakerPolicy) -> tuple[list[Argument], list[Argument]]:
    """What the scripts need to know of a policy: for all of them, and for RECORD alone."""
    times: list[Argument] = [microseconds(policy.recovery_time), microseconds(policy.probe_timeout)]
    limits: list[Argument] = [microseconds(policy.window / _SLICES), _SLICES]
    return times, [*limits, policy.failures or 0, policy.failure_rate or 0, policy.minimum_calls]


def microseconds(seconds: float) -> int:
    """Seconds in the unit of this module."""
    return round(seconds * 1_000_000)
