"""Retries: when, how long after, and how many at most."""

import asyncio
import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upkeeper import deadline
from upkeeper.retry import RetryBudget, RetryPolicy, parse_retry_after, retrying

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(attempts=3, base_delay=0.001, max_delay=0.01)


class Failing:
    """Fails so many times, then returns how often it was called."""

    def __init__(self, times, error=None):
        self.times = times
        self.error = error or ConnectionError("broken")
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.calls


class BusyError(Exception):
    def __init__(self, retry_after):
        super().__init__("busy")
        self.retry_after = retry_after


def always(_error):
    return True


async def test_it_tries_again_until_it_works():
    assert await retrying(QUICK, retry_on=always)(Failing(2)) == 3


async def test_the_last_failure_is_raised_as_it_is():
    function = Failing(10)
    with pytest.raises(ConnectionError, match="broken"):
        await retrying(QUICK, retry_on=always)(function)
    assert function.calls == 3


async def test_only_what_is_asked_for_is_retried():
    function = Failing(1, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        await retrying(QUICK, retry_on=lambda error: isinstance(error, OSError))(function)
    assert function.calls == 1


async def test_cancellation_is_never_retried():
    function = Failing(1, asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await retrying(QUICK, retry_on=lambda error: isinstance(error, Exception))(function)
    assert function.calls == 1


@given(failed=st.integers(1, 5000), jitter=st.floats(0, 1))
@settings(database=None)
def test_pauses_double_up_to_the_most_and_vary_by_the_jitter(failed, jitter):
    policy = RetryPolicy(base_delay=0.5, max_delay=10, jitter=jitter)
    plain = 0.5 * 2 ** (failed - 1) if failed < 6 else 10
    assert plain * (1 - jitter) <= policy.pause(failed) <= plain * (1 + jitter)


def test_pauses_differ():
    assert len({RetryPolicy().pause(1) for _ in range(20)}) > 1


async def test_no_pause_that_would_not_end_before_the_deadline():
    function, policy = Failing(10), RetryPolicy(base_delay=60, max_delay=60)
    started = time.monotonic()
    async with deadline.timeout(30):
        with pytest.raises(ConnectionError):
            await retrying(policy, retry_on=always)(function)
    assert function.calls == 1
    assert time.monotonic() - started < 10


async def test_retry_after_is_the_least_pause():
    function = Failing(1, BusyError(0.2))
    started = time.monotonic()
    assert await retrying(RetryPolicy(base_delay=0, max_delay=1), retry_on=always)(function) == 2
    assert time.monotonic() - started >= 0.2


async def test_whoever_asks_for_more_than_is_left_is_not_called_again():
    function = Failing(10, BusyError(20))
    async with deadline.timeout(15):
        with pytest.raises(BusyError) as raised:
            await retrying(RetryPolicy(base_delay=0, max_delay=60), retry_on=always)(function)
    assert (function.calls, raised.value.retry_after) == (1, 20)


async def test_whoever_asks_for_more_than_the_longest_pause_is_not_called_again():
    function = Failing(10, BusyError(3600))
    with pytest.raises(BusyError):
        await retrying(RetryPolicy(max_delay=10), retry_on=always)(function)
    assert function.calls == 1


async def test_a_dependency_that_fails_gets_no_more_extra_calls_than_the_budget():
    budget, tried = RetryBudget(0.2, reserve=10), 0
    for _ in range(500):
        function = Failing(10)
        with pytest.raises(ConnectionError):
            await retrying(RetryPolicy(attempts=5, base_delay=0), budget, retry_on=always)(function)
        tried += function.calls
    assert 500 * 1.2 <= tried <= 500 * 1.2 + 10


@given(share=st.floats(0, 1), reserve=st.integers(0, 20), steps=st.lists(st.booleans(), max_size=300))
@settings(database=None)
def test_no_history_spends_more_than_share_and_reserve(share, reserve, steps):
    budget, calls, retries = RetryBudget(share, reserve=reserve), 0, 0
    for is_call in steps:
        if is_call:
            budget.earn()
            calls += 1
        else:
            retries += budget.spend()
        assert retries <= calls * share + reserve + 1e-6


def test_what_was_earned_in_good_times_is_no_more_than_the_reserve():
    budget = RetryBudget(0.2, reserve=10)
    for _ in range(100_000):
        budget.earn()
    assert sum(budget.spend() for _ in range(1000)) == 10


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("120", None, 120),
        (" 0 ", None, 0),
        ("9" * 400, None, 86400),
        ("Sun, 22 Nov 2026 10:00:30 GMT", "Sun, 22 Nov 2026 10:00:00 GMT", 30),
        ("Sunday, 22-Nov-26 10:00:30 GMT", "Sun, 22 Nov 2026 10:00:00 GMT", 30),
        ("Sun Nov 22 10:00:30 2026", "Sun, 22 Nov 2026 10:00:00 GMT", 30),
        ("Sun, 22 Nov 2026 10:00:00 GMT", "Sun, 22 Nov 2026 10:00:30 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None, 86400),
        (None, None, None),
        ("", None, None),
        ("soon", None, None),
        ("-5", None, None),
        ("1.5", None, None),
        ("١٢", None, None),
        ("Sun, 99 Nov 2026 10:00:30 GMT", None, None),
    ],
)
def test_retry_after_is_read_in_all_forms_wherever_it_runs(value, date, seconds, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert parse_retry_after(value, date=date) == seconds


def test_a_date_counts_from_now_when_the_answer_has_none():
    seconds = parse_retry_after(formatdate(time.time() + 100, usegmt=True), date="unreadable")
    assert 90 < seconds <= 100


@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} -?\d+ \d+:\d+:\d+ [A-Z+-]\d*"))
@settings(database=None)
def test_nothing_that_a_server_may_send_does_harm(value):
    seconds = parse_retry_after(value, date=value)
    assert seconds is None or 0 <= seconds <= 86400


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"base_delay": -1}, {"base_delay": 11}, {"jitter": 1.1}, {"jitter": -0.1}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_a_budget_below_nothing_is_refused():
    with pytest.raises(ValueError, match="share is -1"):
        RetryBudget(-1)


async def test_clients_that_were_told_the_same_do_not_come_back_together():
    policy, pauses = RetryPolicy(attempts=2, base_delay=0.001, jitter=0.5), []

    async def note(seconds):
        pauses.append(seconds)

    for _ in range(50):
        attempts = retrying(policy, retry_on=always)
        attempts.sleep = note
        await attempts(Failing(1, BusyError(2)))
    assert len(set(pauses)) > 40
    assert all(2 <= pause <= 3 for pause in pauses)
