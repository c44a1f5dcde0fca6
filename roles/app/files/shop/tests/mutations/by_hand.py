"""Mutants that were written by hand, and those that no test can notice."""

# Module, code, what it becomes. cosmic-ray changes operators, numbers and conditions; these drop a call, or are in Lua.
BY_HAND = (
    ("breaker_state", "generation + 1, now + lasts", "generation, now + lasts"),
    ("breaker_state", "generation + 1, now + lasts", "generation + 1, now"),
    ("circuit_breaker", "await asyncio.shield(asking)", "await asking"),
    ("circuit_breaker", "return  # whoever was cancelled waits for nothing", "pass"),
    ("circuit_breaker", "if breaker is self)", ")"),
    (
        "circuit_breaker",
        "return self._left() if self._local.state is State.OPEN else 0.0",
        "return self._left()",
    ),
    ("bulkhead", "if self._places.locked():", "if self.in_use >= self.limit:"),
    ("shared", "await client.connection_pool.disconnect()", "pass"),
    ("shared", "await self._ping(key)", "await self._ping()"),
    ("shared", '.encode("utf-8", "surrogatepass")', ".encode()"),
    ("context", "os.register_at_fork(after_in_child=self.renew)", "pass"),
    ("rate_limit", ">> 64 << 64", ">> 65 << 65"),
    ("rate_limit", "min(decision.reset, decision.policy.window)", "decision.reset"),
    ("errors", "max(1, math.ceil(refusal.retry_after))", "math.ceil(refusal.retry_after)"),
    ("errors", "addFilter(_says_something)", "isEnabledFor(0)"),
    ("client", "arrived = arrived or _may_have_arrived(error)", "arrived = _may_have_arrived(error)"),
    ("client", 'response.extensions["attempts"] = number', "pass"),
    ("key_records", "redis.on_change.append(self._on_change)", "pass"),
    ("idempotency", "response.headers.getlist(name)", "response.headers.getlist(name)[:1]"),
    ("retry", "random.uniform(1, 1 + policy.jitter)", "1"),
    ("retry", "then if then.tzinfo else then.replace(tzinfo=UTC)", "then"),
    ("database", "else min(left, self.query_timeout)", "else self.query_timeout"),
    ("database", "async with asyncio.timeout(self.pool_timeout):", "if True:"),
    ("database", "await session.invalidate()", "pass"),
    ("database", 'Depends(_session, scope="function")', "Depends(_session)"),
    ("database", "async with asyncio.timeout(FAREWELL):", "if True:"),
    ("metrics", "status = CLIENT_LEFT", "pass"),
    ("metrics", "return _mount(scope, route) + (path", "return (path"),
)

_SLOTS = "slots save memory, and nobody adds an attribute"
_NOT_ZERO = "_alone holds the lowest free descriptor meanwhile, so that of a slot is never 0"

# Module, line, what it becomes, and why no caller can tell the one from the other.
EQUIVALENT = (
    ("alarms", "self._timer_at = 0.0", "self._timer_at = -1.0", "_start_timer sets it before _ring reads it"),
    ("circuit_breaker", "@dataclass(frozen=True, slots=True)", "@dataclass(frozen=True, slots=False)", _SLOTS),
    ("client", "@dataclass(frozen=True, slots=True)", "@dataclass(frozen=True, slots=False)", _SLOTS),
    ("deadline", "self._events = False", "self._events = True", "send sets it with the start, and end reads it after"),
    ("errors", "@dataclass(slots=True)", "@dataclass(slots=False)", _SLOTS),
    ("errors", "@dataclass(slots=True)", "", "its one field has a default, which the class has as well"),
    ("idempotency", "@dataclass(frozen=True, slots=True)", "@dataclass(frozen=True, slots=False)", _SLOTS),
    (
        "idempotency",
        "return made[0]  # with its cookies and background tasks, which are not for a replay",
        "return made[ -1]  # with its cookies and background tasks, which are not for a replay",
        "a run makes one response",
    ),
    (
        "shared",
        "for place, answer in zip(unknown, await pipeline.execute(raise_on_error=False), strict=True):",
        "for place, answer in zip(unknown, await pipeline.execute(raise_on_error=False), strict=False):",
        "a pipeline answers each of its commands",
    ),
    ("slots", "self._number = -1", "self._number = 1", "mine reads it after _take has set it"),
    ("slots", "if self._lock >= 0:", "if self._lock > 0:", _NOT_ZERO),
    ("slots", "if self._lock < 0:", "if self._lock <= 0:", _NOT_ZERO),
    ("slots", "if self._lock < 0:", "if self._lock < 1:", _NOT_ZERO),
)
