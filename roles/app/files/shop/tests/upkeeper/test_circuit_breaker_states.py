"""The breaker's states: one set of rules that Python and Lua keep alike, whatever the history of calls."""

import itertools

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)
from upkeeper.breaker_state import ACQUIRE, RECORD, BreakerPolicy, LocalState, State, script_arguments

SECOND = 1_000_000
NOVEMBER_2026 = 1_793_000_000 * SECOND  # as long as what Redis's clock says, so that Lua's numbers are put to the test


class RedisState:
    """LocalState's methods, done by the scripts."""

    def __init__(self, client, policy, key="breaker:test"):
        self.client = client
        self.key = key
        self.times, self.limits = script_arguments(policy)

    def run(self, script, now, *arguments):
        done, state, self.generation, remaining = self.client.eval(
            script.source, 1, self.key, now, *self.times, *arguments
        )
        self.state, self.remaining = State(state.decode()), remaining
        assert self.client.pttl(self.key) != -1, "the key would stay for ever"
        return bool(done)

    def acquire(self, now):
        return self.run(ACQUIRE, now)

    def record(self, now, generation, outcome):
        return self.run(RECORD, now, generation, outcome, *self.limits)


class Histories(RuleBasedStateMachine):
    """Random histories. What must hold is written down here by plain lists of what happened, without slices."""

    client = None
    calls = Bundle("calls")

    @initialize(
        failures=st.none() | st.integers(1, 3),
        rate=st.none() | st.sampled_from([0.25, 0.5, 1.0]),
        minimum_calls=st.integers(1, 5),
    )
    def start(self, failures, rate, minimum_calls):
        self.client.flushall()
        if failures is None and rate is None:
            failures = 2
        self.policy = BreakerPolicy(
            failures, 10.0, rate, minimum_calls=minimum_calls, recovery_time=2.0, probe_timeout=1.0
        )
        self.local, self.shared = LocalState(self.policy), RedisState(self.client, self.policy)
        self.now = NOVEMBER_2026
        self.state, self.period, self.ends = State.CLOSED, 0, 0
        self.ended = []  # of this closed period: when, and whether it failed

    def enter(self, state, seconds=0):
        self.state, self.period, self.ends = state, self.period + 1, self.now + seconds * SECOND
        self.ended = []

    @rule(tenths=st.sampled_from([1, 10, 20, 90, 100, 110]) | st.integers(0, 30))
    def time_passes(self, tenths):
        self.now += tenths * SECOND // 10

    @rule(target=calls)
    def a_call_wants_to_begin(self):
        must_pass = self.state is State.CLOSED or self.now >= self.ends
        assert self.local.acquire(self.now) == must_pass
        assert self.shared.acquire(self.now) == must_pass
        if not must_pass:
            return multiple()
        if self.state is not State.CLOSED:
            self.enter(State.HALF_OPEN, 1)
        self.agree()
        return self.period, self.local.generation, self.shared.generation

    @rule(call=consumes(calls), outcome=st.sampled_from(["failure", "failure", "success", "abandoned"]))
    def a_call_ends(self, call, outcome):
        period, local, shared = call
        changed = self.local.record(self.now, local, outcome)
        assert self.shared.record(self.now, shared, outcome) == changed
        if period != self.period:
            assert not changed, "a call of an earlier period changed the state"
        elif self.state is State.HALF_OPEN:
            self.probe_ends(outcome, changed)
        elif outcome != "abandoned":
            self.ended.append((self.now, outcome == "failure"))
            verdicts = self.verdicts()
            assert changed in verdicts, f"opened: {changed}; allowed: {verdicts}"
            if changed:
                self.enter(State.OPEN, 2)
        self.agree()

    def probe_ends(self, outcome, changed):
        in_time = self.now < self.ends
        assert changed == (in_time and outcome != "abandoned"), "a probe decides while its lease lasts, and only then"
        if changed:
            self.enter(*((State.CLOSED,) if outcome == "success" else (State.OPEN, 2)))
        elif in_time:
            self.ends = self.now

    def verdicts(self):
        """Whether it may open: by what ended in the window, which may be longer by at most a slice."""
        longest = [entry for entry in self.ended if entry[0] >= self.now - 11 * SECOND]
        shortest = [entry for entry in longest if entry[0] > self.now - 10 * SECOND]
        lengths = range(len(shortest), len(longest) + 1)
        return {self.policy.opens(sum(failed for _, failed in longest[-n:]), n) for n in lengths}

    def agree(self):
        assert self.local.state is self.shared.state is self.state
        if self.state is not State.CLOSED:
            left = max(0, self.ends - self.now)
            assert max(0, self.local.ends - self.now) == self.shared.remaining == left


def test_no_history_of_calls_breaks_the_rules(redis_server):
    with redis_server.client() as client:
        Histories.client = client
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=200,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.fixture
def state(redis_server):
    with redis_server.client() as client:
        yield RedisState(client, BreakerPolicy(failures=1, recovery_time=30))


def test_a_clock_that_is_set_back_stops_nothing(state):
    state.acquire(1000 * SECOND)
    state.record(1000 * SECOND, state.generation, "failure")
    assert not state.acquire(10 * SECOND)
    assert state.remaining == 30 * SECOND
    assert not state.acquire(39 * SECOND)
    assert state.acquire(40 * SECOND)


def test_the_clock_is_that_of_redis(state):
    state.acquire("")
    seconds, microseconds = state.client.time()
    assert abs(seconds * SECOND + microseconds - state.generation) < 60 * SECOND


def test_a_result_of_a_forgotten_breaker_counts_for_nothing(state):
    state.acquire(1000 * SECOND)
    begun = state.generation
    state.client.flushall()
    assert not state.record(1001 * SECOND, begun, "failure")
    assert state.acquire(1002 * SECOND)
    assert state.state is State.CLOSED


def test_what_is_older_than_the_window_is_not_kept(redis_server):
    with redis_server.client() as client:
        policy = BreakerPolicy(failures=1000, window=10, failure_rate=1.0, minimum_calls=1000)
        local, shared = LocalState(policy), RedisState(client, policy)
        for second in range(100):
            for state in (local, shared):
                state.acquire(second * SECOND)
                state.record(second * SECOND, state.generation, "failure")
        assert len(local._counts) == 11
        assert sum(name.startswith(b"failure:") for name in client.hkeys(shared.key)) == 11


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures": None},
        {"failures": 0},
        {"failure_rate": 0},
        {"failure_rate": 1.1},
        {"window": 0},
        {"recovery_time": -1},
        {"probe_timeout": 0},
        {"minimum_calls": 0},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BreakerPolicy(**wrong)


@pytest.mark.parametrize("kind", ["python", "redis"])
def test_every_change_of_state_begins_a_new_generation_even_when_no_time_passes(kind, redis_server):
    policy = BreakerPolicy(failures=1, recovery_time=1e-7, probe_timeout=1e-7)  # both round to nothing
    state = LocalState(policy) if kind == "python" else RedisState(redis_server.client(), policy)
    now, generations = NOVEMBER_2026, []
    assert state.acquire(now)
    generations.append(state.generation)
    for _ in range(3):
        assert state.record(now, state.generation, "failure") or state.state is State.HALF_OPEN
        generations.append(state.generation)
        assert state.acquire(now)
        generations.append(state.generation)
    assert all(after >= before for before, after in itertools.pairwise(generations))
    assert len(set(generations)) >= 4, "a late result of an earlier state would count"


def test_the_open_state_lasts_for_the_recovery_time_in_redis(redis_server):
    policy = BreakerPolicy(failures=1, recovery_time=2, probe_timeout=1)
    state = RedisState(redis_server.client(), policy)
    state.acquire(NOVEMBER_2026)
    assert state.record(NOVEMBER_2026, state.generation, "failure")
    assert state.remaining == 2 * SECOND
    assert not state.acquire(NOVEMBER_2026 + 2 * SECOND - 1)
    assert state.acquire(NOVEMBER_2026 + 2 * SECOND)
    assert state.remaining == SECOND
