"""The sliding window, in memory and in Redis: for any history of calls, never more than the limit and never less."""

import itertools
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from upkeeper.sliding_window import TAKE, MemoryLimiter, Policy

LIMIT = 5
WINDOW = 10_000_000  # in microseconds: long enough for no key in Redis to expire during a test
SLOT = 10_000
POLICY = Policy("test", LIMIT, WINDOW / 1_000_000)

# The source itself, but for the clock.
TAKE_AT = TAKE.source.replace("redis.call('TIME')", "{ARGV[5], ARGV[6]}")

keys = itertools.count()


class InMemory:
    """One key, at times that the test sets, in microseconds."""

    def __init__(self, _server):
        self.now = 0
        self.limiter = MemoryLimiter(clock=lambda: self.now * 1000)

    def calls(self, now, wanted):
        self.now = now
        decisions = [self.limiter.hit(POLICY, "key") for _ in range(wanted)]
        granted = sum(decision.allowed for decision in decisions)
        assert [decision.allowed for decision in decisions] == [True] * granted + [False] * (wanted - granted)
        return granted, decisions[-1].remaining, round(decisions[-1].reset * 1_000_000)


class InRedis:
    """The same by the script, all calls of one moment in one step."""

    def __init__(self, server):
        self.client = server.client()
        self.key = f"key{next(keys)}"

    def calls(self, now, wanted):
        time_of_redis = divmod(now, 1_000_000)
        return tuple(self.client.eval(TAKE_AT, 1, self.key, LIMIT, WINDOW, SLOT, wanted, *time_of_redis))


@dataclass
class History:
    """What was admitted when, until when it may count at the latest, and what must hold of it."""

    admitted: list[int] = field(default_factory=list)
    counts_until: list[int] = field(default_factory=list)
    before: int = 0

    def check(self, now, wanted, granted, set_back=False):
        # That its clock was set back, Redis sees at the next call. What it had left at the one before counts anew.
        if set_back:
            self.counts_until = [now + WINDOW + SLOT if until >= self.before else until for until in self.counts_until]
        self.before = now
        self.admitted += [now] * granted
        self.counts_until += [now + WINDOW + SLOT] * granted
        for first, later in zip(self.admitted, self.admitted[LIMIT:], strict=False):
            assert later - first > WINDOW, "a window held more than the limit"
        if granted < wanted:
            assert sum(until >= now for until in self.counts_until) >= LIMIT, "refused below the limit"


both = pytest.mark.parametrize("make", [InMemory, InRedis])
bounded = settings(
    deadline=None, database=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
pauses = st.one_of(
    st.integers(0, SLOT),
    st.integers(0, 2 * WINDOW),
    st.sampled_from([WINDOW // LIMIT, WINDOW - SLOT, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + SLOT - 1, WINDOW + SLOT]),
)
histories = st.lists(st.tuples(pauses, st.integers(1, LIMIT + 2)), min_size=1, max_size=25)


def test_only_the_clock_of_the_script_is_replaced():
    assert TAKE.source.count("redis.call('TIME')") == 1


@both
@given(start=st.integers(0, 10**12), history=histories)
@bounded
def test_every_window_holds_at_most_the_limit_and_no_call_below_it_is_refused(redis_server, make, start, history):
    limiter, seen, now = make(redis_server), History(), start
    for pause, wanted in history:
        now += pause
        granted, _, _ = limiter.calls(now, wanted)
        seen.check(now, wanted, granted)


@given(start=st.integers(0, 10**12), history=histories)
@bounded
def test_memory_and_redis_decide_alike(redis_server, start, history):
    memory, redis, now = InMemory(redis_server), InRedis(redis_server), start
    for pause, wanted in history:
        now += pause
        assert memory.calls(now, wanted) == redis.calls(now, wanted)


@both
@given(start=st.integers(0, 10**12), history=histories)
@bounded
def test_the_wait_of_a_refused_call_is_the_true_one(redis_server, make, start, history):
    limiter, now = make(redis_server), start
    for pause, wanted in history:
        now += pause
        granted, remaining, wait = limiter.calls(now, wanted)
        if granted < wanted:
            assert remaining == 0
            assert limiter.calls(now + wait - 1, 1)[0] == 0
            now += wait
            assert limiter.calls(now, 1)[0] == 1


@given(start=st.integers(10**12, 10**13), history=histories, back=st.lists(st.integers(0, 10**11), max_size=3))
@example(
    start=10**12,
    history=[(0, 1), (WINDOW + SLOT + 2, LIMIT - 1), (WINDOW + SLOT - 1, 1)],
    back=[WINDOW + SLOT + 2],
)
@example(start=10**12, history=[(0, LIMIT), (2 * WINDOW, 1), (WINDOW, 1)], back=[2 * WINDOW])
@bounded
def test_no_window_holds_more_when_the_clock_of_redis_is_set_back(redis_server, start, history, back):
    limiter, seen, now, shown = InRedis(redis_server), History(), start, start
    for step, (pause, wanted) in enumerate(history):
        now += pause
        by = back[step // 2] if step % 2 and step // 2 < len(back) else 0
        shown += pause - by
        granted, _, _ = limiter.calls(shown, wanted)
        seen.check(now, wanted, granted, set_back=by > 0)


def test_a_clock_that_was_set_back_by_a_day_holds_nobody_up_for_longer_than_a_window(redis_server):
    limiter, now, day = InRedis(redis_server), 10**12, 86_400_000_000
    assert limiter.calls(now, LIMIT)[0] == LIMIT
    granted, _, wait = limiter.calls(now - day, 1)
    assert granted == 0
    assert 0 < wait <= WINDOW + SLOT
    assert limiter.calls(now - day + wait, LIMIT)[0] == LIMIT


def test_what_redis_keeps_of_a_key_is_bounded_and_expires(redis_server):
    client = redis_server.client()
    for now in range(0, 3 * WINDOW, SLOT // 2):
        client.eval(TAKE_AT, 1, "key", 10**6, WINDOW, SLOT, 1, *divmod(now, 1_000_000))
    assert client.llen("key") <= 2 * 1002 + 1
    assert 0 < client.pttl("key") <= (WINDOW + 2 * SLOT) / 1000


@pytest.mark.parametrize("wrong", [("x", 1, 1, 1), (1, "", 1, 1), (1, 1, 1, "x")])
def test_a_script_that_fails_leaves_no_key(redis_server, wrong):
    client = redis_server.client()
    with pytest.raises(Exception, match="script"):
        client.eval(TAKE.source, 1, "key", *wrong)
    assert client.keys() == []


def test_memory_keeps_a_bounded_number_of_keys():
    now = 0
    limiter = MemoryLimiter(clock=lambda: now, max_keys=100)
    policy = Policy("test", 1, 1)
    for number in range(1000):
        limiter.hit(policy, str(number))
    assert len(limiter) == 100
    assert not limiter.hit(policy, "999").allowed
    assert limiter.hit(policy, "0").allowed, "the oldest had to go"

    now += 2_000_000_000
    for number in range(60):
        limiter.hit(policy, f"later{number}")
    assert len(limiter) == 60, "what expired has made room"


def test_keys_and_policies_count_apart():
    limiter = MemoryLimiter()
    for policy in (Policy("a", 1, 60), Policy("b", 1, 60), Policy("b", 1, 61)):
        for key in ("x", "y"):
            assert limiter.hit(policy, key).allowed
            assert not limiter.hit(policy, key).allowed


def test_the_default_clock_goes_on():
    limiter = MemoryLimiter()
    policy = Policy("test", 1, 0.01)
    assert limiter.hit(policy, "key").allowed
    while (refused := limiter.hit(policy, "key")).allowed:
        """A busy machine may take longer than the window from one to the next."""
    time.sleep(refused.retry_after)
    assert limiter.hit(policy, "key").allowed


@pytest.mark.parametrize(
    ("name", "limit", "window"),
    [("", 1, 1), ('a"b', 1, 1), ("a:b", 1, 1), ("a\n", 1, 1), ("a", 0, 1), ("a", 1, 0), ("a", 1, -1)],
)
def test_a_policy_that_makes_no_sense_is_refused(name, limit, window):
    with pytest.raises(ValueError, match="policy"):
        Policy(name, limit, window)
