"""CircuitBreaker as an application uses it: with Redis and, from the same tests, without."""

import asyncio
import contextlib

import pytest
from upkeeper.circuit_breaker import BreakerPolicy, CircuitBreaker, CircuitOpen, State
from upkeeper.errors import Refusal
from upkeeper.shared import SharedRedis

pytestmark = pytest.mark.anyio

POLICY = BreakerPolicy(failures=3, window=10, recovery_time=30, probe_timeout=60)


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["shared", "alone"])
async def redis(request, redis_server):
    redis = SharedRedis(redis_server.url if request.param == "shared" else "")
    await redis.start()
    yield redis
    await redis.close()


@pytest.fixture
def events():
    return []


@pytest.fixture
def breaker(redis, clock, events):
    return CircuitBreaker("bank", POLICY, redis, listeners=[lambda event: events.append(event.kind)], clock=clock)


async def fail(breaker, times=1, error=ConnectionError):
    for _ in range(times):
        with contextlib.suppress(error):
            async with breaker:
                raise error


async def succeed(breaker):
    async with breaker:
        pass


async def test_it_opens_at_the_threshold_and_then_calls_nothing(breaker, clock):
    await fail(breaker, 2)
    assert await breaker.state() is State.CLOSED
    await fail(breaker)
    assert await breaker.state() is State.OPEN
    clock.seconds += 10
    with pytest.raises(CircuitOpen) as refused:
        async with breaker:
            pytest.fail("a call while open")
    assert (refused.value.status, refused.value.retry_after, breaker.seconds_open) == (503, 20, 20)


async def test_failures_older_than_the_window_count_no_more(breaker, clock):
    await fail(breaker, 2)
    clock.seconds += 11.5
    await fail(breaker, 2)
    assert await breaker.state() is State.CLOSED
    await fail(breaker)
    assert await breaker.state() is State.OPEN


async def test_it_opens_at_a_failure_rate_over_enough_calls(redis, clock):
    policy = BreakerPolicy(failures=None, failure_rate=0.5, minimum_calls=4)
    breaker = CircuitBreaker("bank", policy, redis, clock=clock)
    await fail(breaker, 3)
    assert await breaker.state() is State.CLOSED
    await succeed(breaker)
    assert await breaker.state() is State.OPEN


async def test_one_probe_closes_it_and_the_counters_are_empty(breaker, clock, events):
    await fail(breaker, 3)
    clock.seconds += 30
    assert breaker.last_known is await breaker.state() is State.HALF_OPEN
    async with breaker:
        assert await breaker.state() is State.HALF_OPEN
        with pytest.raises(CircuitOpen) as refused:
            await succeed(breaker)
        assert refused.value.retry_after == 1
        assert breaker.seconds_open == 0, "it is half-open"
    assert await breaker.state() is State.CLOSED
    assert events == ["failure"] * 3 + ["opened", "half_opened", "rejected", "success", "closed"]
    await fail(breaker, 2)
    assert await breaker.state() is State.CLOSED


async def test_counters_are_empty_even_if_the_window_is_longer_than_the_recovery(redis, clock):
    policy = BreakerPolicy(failures=2, window=1000, recovery_time=1)
    breaker = CircuitBreaker("bank", policy, redis, clock=clock)
    await fail(breaker, 2)
    clock.seconds += 1
    await succeed(breaker)
    await fail(breaker)
    assert await breaker.state() is State.CLOSED


async def test_a_probe_that_fails_opens_it_for_the_whole_recovery_time(breaker, clock):
    await fail(breaker, 3)
    clock.seconds += 35
    await fail(breaker)
    with pytest.raises(CircuitOpen) as refused:
        await succeed(breaker)
    assert refused.value.retry_after == 30


async def test_of_200_tasks_one_is_the_probe(breaker, clock):
    await fail(breaker, 3)
    clock.seconds += 30
    done = asyncio.Event()
    called = 0

    @breaker
    async def call():
        nonlocal called
        called += 1
        await done.wait()
        return "paid"

    tasks = [asyncio.create_task(call()) for _ in range(200)]
    async with asyncio.timeout(10):
        while sum(task.done() for task in tasks) < 199:
            await asyncio.sleep(0.01)
    done.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert called == results.count("paid") == 1
    assert sum(isinstance(result, CircuitOpen) for result in results) == 199


async def test_a_cancelled_call_is_neither_success_nor_failure(breaker, events):
    await fail(breaker, 2)
    task = asyncio.create_task(hang(breaker))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert events == ["failure", "failure"]
    assert await breaker.state() is State.CLOSED


async def hang(breaker):
    async with breaker:
        await asyncio.sleep(60)


@pytest.mark.parametrize("pause", [0.05, 0], ids=["at the call", "at the breaker"])
async def test_a_cancelled_probe_makes_way_for_the_next(breaker, clock, pause):
    await fail(breaker, 3)
    clock.seconds += 30
    task = asyncio.create_task(hang(breaker))
    await asyncio.sleep(pause)
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(60):
        while await breaker.state() is not State.CLOSED:
            with contextlib.suppress(CircuitOpen):  # until the answer that came too late was handed back
                await succeed(breaker)


async def test_a_probe_without_a_result_is_given_up(breaker, clock):
    await fail(breaker, 3)
    clock.seconds += 30
    async with breaker:
        clock.seconds += 59
        with pytest.raises(CircuitOpen):
            await succeed(breaker)
        clock.seconds += 1
        await fail(breaker)
        assert await breaker.state() is State.OPEN
    assert await breaker.state() is State.OPEN, "the late result of the first probe counted"


async def test_calls_that_began_before_it_opened_count_for_nothing(breaker, clock):
    gates, begun = [asyncio.Event(), asyncio.Event()], []

    async def call(gate, error=None):
        async with breaker:
            begun.append(gate)
            await gate.wait()
            if error:
                raise error

    slow = [asyncio.create_task(call(gates[0]))]
    slow += [asyncio.create_task(call(gates[1], ConnectionError())) for _ in range(3)]
    async with asyncio.timeout(60):
        while len(begun) < len(slow):
            await asyncio.sleep(0.01)
    await fail(breaker, 3)
    gates[0].set()
    await slow[0]
    assert await breaker.state() is State.OPEN, "a late success closed it"
    clock.seconds += 30
    await succeed(breaker)
    gates[1].set()
    await asyncio.gather(*slow, return_exceptions=True)
    assert await breaker.state() is State.CLOSED, "late failures counted in the next closed period"


class NotFound(Refusal):
    status = 404

    def __init__(self):
        super().__init__("There is no such order.")


async def test_a_refusal_of_the_request_is_no_failure(breaker):
    await fail(breaker, 5, NotFound)
    assert await breaker.state() is State.CLOSED


async def test_what_is_a_failure_is_a_setting(redis, clock):
    breaker = CircuitBreaker("bank", POLICY, redis, is_failure=lambda error: isinstance(error, OSError), clock=clock)
    await fail(breaker, 5, ValueError)
    assert await breaker.state() is State.CLOSED
    await fail(breaker, 3, OSError)
    assert await breaker.state() is State.OPEN


async def test_an_ignored_call_counts_for_nothing(breaker, clock):
    await fail(breaker, 2)
    with contextlib.suppress(ConnectionError):
        async with breaker as call:
            call.ignore()
            raise ConnectionError
    assert await breaker.state() is State.CLOSED
    await fail(breaker)
    clock.seconds += 30
    async with breaker as call:
        call.ignore()
    assert await breaker.state() is State.HALF_OPEN, "an ignored probe decided"
    await succeed(breaker)
    assert await breaker.state() is State.CLOSED


async def test_a_listener_that_fails_is_logged_and_harms_nobody(breaker, events, caplog):
    breaker.listeners.insert(0, lambda event: 1 / 0)
    await succeed(breaker)
    assert events == ["success"]
    assert "A listener of the breaker bank failed" in caplog.text


async def test_breakers_nest(redis, clock):
    outer, inner = (CircuitBreaker(name, POLICY, redis, clock=clock) for name in ("outer", "inner"))
    for _ in range(3):
        async with outer:
            await fail(inner)
    assert (await outer.state(), await inner.state()) == (State.CLOSED, State.OPEN)


async def test_an_open_breaker_is_known_without_asking_redis(shared, redis_server):
    breaker = CircuitBreaker("bank", POLICY, shared)
    breaker.check()
    await fail(breaker, 3)
    with redis_server.client() as client:
        before = client.info("commandstats")
        for _ in range(100):
            with pytest.raises(CircuitOpen):
                await succeed(breaker)
            with pytest.raises(CircuitOpen):
                breaker.check()
        after = client.info("commandstats")
    scripts = [{name: entry["calls"] for name, entry in stats.items() if "eval" in name} for stats in (before, after)]
    assert scripts[0] == scripts[1]


async def test_what_one_process_learns_the_others_know(shared, redis_server, clock):
    other_redis = SharedRedis(redis_server.url)
    await other_redis.start()
    one, other = (CircuitBreaker("bank", POLICY, redis, clock=clock) for redis in (shared, other_redis))
    await fail(one, 2)
    await fail(other)
    assert await one.state() is State.OPEN
    with pytest.raises(CircuitOpen):
        await succeed(one)
    clock.seconds += 30
    async with one:
        with pytest.raises(CircuitOpen):
            await succeed(other)
    await succeed(other)
    await other_redis.close()


async def test_a_slow_answer_rejects_no_call_that_redis_would_admit(slow_to_refuse):
    policy, rejected = BreakerPolicy(failures=1, recovery_time=0.3), False
    async with asyncio.timeout(60):
        while not rejected:  # a busy machine may take longer than it is open from one call to the next
            await fail(CircuitBreaker("bank", policy, slow_to_refuse))
            breaker = CircuitBreaker("bank", policy, slow_to_refuse)
            try:
                await succeed(breaker)
            except CircuitOpen:
                rejected = True
    await succeed(breaker)


async def test_without_redis_it_goes_on_from_the_last_known_state_and_comes_back(redis_server, clock):
    redis = SharedRedis(redis_server.url, check_every=0.02)
    await redis.start()
    open_one, closed_one = (CircuitBreaker(name, POLICY, redis, clock=clock) for name in ("open", "closed"))
    await fail(open_one, 3)
    await fail(closed_one, 2)
    async with closed_one:  # begins with Redis and ends without
        redis_server.kill()
    with pytest.raises(CircuitOpen):
        await succeed(open_one)
    await fail(closed_one, 3)
    assert await closed_one.state() is State.OPEN
    clock.seconds += 30
    async with open_one:
        with pytest.raises(CircuitOpen):
            await succeed(open_one)
    assert await open_one.state() is State.CLOSED

    redis_server.start()
    async with asyncio.timeout(60):
        while not redis.available:
            await asyncio.sleep(0.01)
    await fail(open_one, 3)
    with redis_server.client() as client:
        assert client.hget("breaker:open", "state") == b"open"
    await redis.close()


async def test_a_probe_that_redis_granted_decides_without_it(redis_server, clock):
    redis = SharedRedis(redis_server.url)
    await redis.start()
    breaker = CircuitBreaker("bank", POLICY, redis, clock=clock)
    await fail(breaker, 3)
    clock.seconds += 30
    async with breaker:
        redis_server.kill()
    assert await breaker.state() is State.CLOSED
    await redis.close()


async def test_breakers_whose_calls_end_out_of_order_keep_their_own_results(redis, clock):
    first, second = (CircuitBreaker(name, POLICY, redis, clock=clock) for name in ("first", "second"))
    await fail(second, POLICY.failures)
    clock.seconds += POLICY.recovery_time
    await fail(second)  # a failed probe more, so that the two are not in generations of the same number
    await fail(first, POLICY.failures)
    clock.seconds += POLICY.recovery_time

    async def stream(breaker):
        async with breaker:
            yield "a probe"

    streams = [stream(first), stream(second)]
    for each in streams:
        await anext(each)
        clock.seconds += 1
    for each in streams:  # not the last one first
        with contextlib.suppress(StopAsyncIteration):
            await anext(each)
    assert [await breaker.state() for breaker in (first, second)] == [State.CLOSED] * 2


async def test_a_probe_that_is_cancelled_at_any_moment_makes_way(redis):
    """The lease may be on its way from Redis then: a call that nobody makes must not hold it for a minute."""
    policy = BreakerPolicy(failures=1, recovery_time=0.001, probe_timeout=60)

    async def probe(breaker):
        async with breaker:
            await asyncio.sleep(0.002)

    for turns in range(25):
        breaker = CircuitBreaker(f"bank {turns}", policy, redis)
        await fail(breaker)
        await asyncio.sleep(0.005)
        call = asyncio.create_task(probe(breaker))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(CircuitOpen):
                    await succeed(breaker)
                    break
                await asyncio.sleep(0.005)


async def test_a_cancelled_call_waits_for_no_answer_of_redis(redis_server):
    redis = SharedRedis(redis_server.url, timeout=30)
    await redis.start()
    breaker = CircuitBreaker("bank", BreakerPolicy(failures=1, recovery_time=0.001, probe_timeout=60), redis)
    await fail(breaker)
    await asyncio.sleep(0.005)
    begun = asyncio.Event()

    async def probe():
        async with breaker:
            begun.set()
            await asyncio.sleep(3600)

    call = asyncio.create_task(probe())
    await begun.wait()
    redis_server.freeze()
    call.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    ended = call.done()
    redis_server.thaw()
    await asyncio.wait([call])
    await redis.close()
    assert ended, "it waited until Redis had recorded the result"
