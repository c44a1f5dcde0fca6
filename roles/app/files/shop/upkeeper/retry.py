"""Retries: exponential backoff with jitter, within the request's deadline, and never more of them than a budget allows.

Only what is safe to do twice may be retried, and at one layer only: retries of retries multiply.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from .deadline import remaining

_DAY = 86400.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when to try again.

    `attempts` counts all tries, the first included. The n-th pause is `base_delay` * 2^(n-1), at most `max_delay`, made
    up to `jitter` (a share from 0 to 1) longer or shorter by chance, so that clients that failed together do not come
    back together. Seconds.
    """

    attempts: int = 3
    base_delay: float = 0.5
    max_delay: float = 10.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}; it must be at least 1.")
        if not 0 <= self.base_delay <= self.max_delay:
            raise ValueError(f"base_delay is {self.base_delay}; it must be between 0 and max_delay ({self.max_delay}).")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is {self.jitter}; it must be between 0 and 1.")

    def pause(self, failed: int) -> float:
        """Seconds to wait after so many failed tries."""
        # Beyond 2^64 every pause has long been cut to max_delay; the power itself must not overflow.
        delay = min(self.base_delay * 2.0 ** min(failed - 1, 64), self.max_delay)
        return delay * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - chance, no secret


class RetryBudget:
    """What bounds the extra load on a dependency that fails: at most `share` retries per call, and `reserve` besides.

    A token bucket as in Finagle's RetryBudget and gRPC's retry throttling (proposal A6): each call puts `share` of a
    token in, each retry takes one out, and it never holds more than `reserve`, with which it starts. One per dependency
    and process; without a clock, so nothing is earned by waiting.
    """

    def __init__(self, share: float = 0.2, *, reserve: float = 10.0) -> None:
        if share < 0 or reserve < 0:
            raise ValueError(f"share is {share} and reserve is {reserve}; neither may be below 0.")
        self.share = share
        self.reserve = reserve
        self.tokens = reserve

    def earn(self) -> None:
        """Count a call."""
        self.tokens = min(self.reserve, self.tokens + self.share)

    def spend(self) -> bool:
        """Take what a retry costs; False when it is not there."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def retrying(
    policy: RetryPolicy, budget: RetryBudget | None = None, *, retry_on: Callable[[BaseException], bool]
) -> AsyncRetrying:
    """Tenacity's retrying for one call, `await retrying(...)(function)`; it raises what the last try raised.

    A try that raised what `retry_on` accepts is repeated, unless the attempts or the budget are used up or the pause
    would not end before the deadline. An exception's `retry_after` (seconds) is the least pause, made longer by the
    jitter of the policy, so that clients that were told the same do not come back together. A dependency that asks
    for more than `max_delay`, or for more than is left, is taken at its word at once: the exception is raised, and with
    it the time to come back.
    """

    def earn(call: RetryCallState) -> None:
        if budget is not None and call.attempt_number == 1:
            budget.earn()

    def pause(call: RetryCallState) -> float:
        asked = _asked_for(call) * random.uniform(1, 1 + policy.jitter)  # noqa: S311 - chance, no secret
        return max(policy.pause(call.attempt_number), asked)

    def give_up(call: RetryCallState) -> bool:
        left = remaining()
        return (
            call.attempt_number >= policy.attempts
            or _asked_for(call) > policy.max_delay
            or (left is not None and call.upcoming_sleep >= left)
            or (budget is not None and not budget.spend())
        )

    return AsyncRetrying(before=earn, retry=retry_if_exception(retry_on), wait=pause, stop=give_up, reraise=True)


def _asked_for(call: RetryCallState) -> float:
    error = call.outcome.exception() if call.outcome else None
    return getattr(error, "retry_after", None) or 0.0


def parse_retry_after(value: str | None, *, date: str | None = None) -> float | None:
    """Read the header Retry-After (RFC 9110, 10.2.3), seconds or an HTTP date; None when it is missing or unreadable.

    `date` is the answer's own Date, against which a date is counted, so that clocks need not agree. At most a day.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _DAY)
    then = _timestamp(value)
    if then is None:
        return None
    now = _timestamp(date) if date else None
    return min(max(0.0, then - (time.time() if now is None else now)), _DAY)


def _timestamp(date: str) -> float | None:
    try:
        then = parsedate_to_datetime(date)
        # The form of asctime names no zone and means GMT (RFC 9110, 5.6.7).
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
