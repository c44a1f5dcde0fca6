"""What holds where an application says nothing: a default that changes is a change that its users have to hear of."""

import inspect

import pytest
from upkeeper import client, stack
from upkeeper.breaker_state import BreakerPolicy
from upkeeper.bulkhead import Bulkhead
from upkeeper.database import Database
from upkeeper.health import Readiness
from upkeeper.idempotency import IdempotencyStore
from upkeeper.limiter import RateLimiter
from upkeeper.retry import RetryBudget, RetryPolicy
from upkeeper.shared import SharedRedis
from upkeeper.sliding_window import MemoryLimiter

KEPT_HEADERS = ("content-type", "content-language", "location", "etag", "link")


@pytest.mark.parametrize(
    ("made", "defaults"),
    [
        (BreakerPolicy, {"failures": 5, "window": 30, "minimum_calls": 10, "recovery_time": 30, "probe_timeout": 60}),
        (Bulkhead, {"wait": 0, "retry_after": 1}),
        (Database, {"pool_size": 5, "pool_timeout": 5, "query_timeout": 5, "retry_after": 1}),
        (IdempotencyStore, {"keep": 86400, "in_progress": 60, "wait": 5, "max_body": 65536, "local_keys": 1000}),
        (IdempotencyStore, {"headers": KEPT_HEADERS, "prefix": "idempotency:"}),
        (MemoryLimiter, {"max_keys": 10_000}),
        (RateLimiter, {"on_outage": "open", "local_share": 0.25, "prefix": "rate-limit", "max_keys": 10_000}),
        (Readiness, {"every": 5, "timeout": 2}),
        (RetryBudget, {"share": 0.2, "reserve": 10}),
        (RetryPolicy, {"attempts": 3, "base_delay": 0.5, "max_delay": 10, "jitter": 0.2}),
        (SharedRedis, {"timeout": 0.25, "check_every": 0.5}),
        (client.ServiceClient, {"max_answer": 10 * 1024 * 1024}),
        (client.Timeouts, {"connect": 2, "read": 10, "write": 5, "pool": 2, "attempt": 12}),
        (stack.add_stack, {"deadline": 30}),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_without_a_word_these_hold(made, defaults):
    parameters = inspect.signature(made).parameters
    assert {name: parameters[name].default for name in defaults} == defaults
