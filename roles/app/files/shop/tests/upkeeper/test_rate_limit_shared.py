"""RateLimiter: one count for all in Redis, few questions to it, and going on without it."""

import asyncio
import logging
import time

import pytest
from upkeeper.errors import Refusal
from upkeeper.limiter import RateLimiter
from upkeeper.shared import SharedRedis
from upkeeper.sliding_window import Policy

pytestmark = pytest.mark.anyio

POLICY = Policy("test", 100, 60)


def scripts_run(redis_server):
    """How many times Redis was asked to run a script."""
    with redis_server.client() as client:
        commands = client.info("commandstats")
    return sum(commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


async def available(redis):
    async with asyncio.timeout(60):
        while not redis.available:
            await asyncio.sleep(0.01)


async def test_the_limit_is_admitted_and_no_more(shared):
    limiter = RateLimiter(shared)
    decisions = [await limiter.hit(POLICY, "key") for _ in range(103)]
    assert [decision.remaining for decision in decisions] == [*range(99, -1, -1), 0, 0, 0]
    assert [decision.allowed for decision in decisions] == [True] * 100 + [False] * 3
    assert all(decision.limit == 100 for decision in decisions)
    assert all(0 < decision.reset <= 60.06 for decision in decisions)
    assert decisions[99].retry_after is None
    assert decisions[100].retry_after == decisions[100].reset


async def test_limiters_of_other_processes_share_the_count(shared, redis_server):
    other = SharedRedis(redis_server.url)
    await other.start()
    limiters = [RateLimiter(shared), RateLimiter(other)]
    decisions = await asyncio.gather(*(limiters[number % 2].hit(POLICY, "key") for number in range(150)))
    assert sum(decision.allowed for decision in decisions) == 100
    await other.close()


async def test_applications_with_a_prefix_of_their_own_do_not(shared):
    policy = Policy("test", 1, 60)
    for prefix in ("shop", "blog"):
        assert (await RateLimiter(shared, prefix=prefix).hit(policy, "key")).allowed


async def test_of_hits_that_come_together_each_knows_what_is_left(shared):
    limiter = RateLimiter(shared)
    decisions = await asyncio.gather(*(limiter.hit(POLICY, "key") for _ in range(30)))
    assert [decision.remaining for decision in decisions] == [*range(99, 69, -1)]


async def test_hits_that_come_together_ask_once_and_the_first_are_admitted(shared, redis_server):
    before = scripts_run(redis_server)
    limiter = RateLimiter(shared)
    decisions = await asyncio.gather(*(limiter.hit(POLICY, "key") for _ in range(1000)))
    assert [decision.allowed for decision in decisions] == [True] * 100 + [False] * 900
    assert [decision.remaining for decision in decisions[:101]] == [*range(99, -1, -1), 0]
    assert scripts_run(redis_server) - before <= 2  # one more when Redis does not know the script yet


async def test_a_key_without_permits_is_refused_without_asking_and_admitted_on_time(shared, redis_server):
    limiter, policy = RateLimiter(shared), Policy("test", 2, 60)
    await asyncio.gather(limiter.hit(policy, "key"), limiter.hit(policy, "key"))
    before = scripts_run(redis_server)
    refused = [await limiter.hit(policy, "key") for _ in range(50)]
    assert not any(decision.allowed for decision in refused)
    assert scripts_run(redis_server) == before
    brief = Policy("brief", 1, 0.3)
    async with asyncio.timeout(60):
        while (refusal := await limiter.hit(brief, "key")).allowed:
            """A busy machine may take longer than the window from one to the next."""
    await asyncio.sleep(refusal.retry_after)
    assert (await limiter.hit(brief, "key")).allowed


async def test_a_slow_answer_refuses_nobody_whose_permit_is_free(slow_to_refuse):
    limiter, policy = RateLimiter(slow_to_refuse), Policy("test", 1, 0.3)
    async with asyncio.timeout(60):
        while (await limiter.hit(policy, "key")).allowed:
            limiter = RateLimiter(slow_to_refuse)  # one that has to ask, as that of another process
    assert (await limiter.hit(policy, "key")).allowed


async def test_what_is_known_of_refused_keys_is_bounded(shared):
    limiter, policy = RateLimiter(shared, max_keys=3), Policy("test", 1, 60)
    for number in range(10):
        assert (await limiter.hit(policy, str(number))).allowed
    assert len(limiter._free_at) == 3
    assert not (await limiter.hit(policy, "0")).allowed, "Redis knows the others"


async def test_every_key_in_redis_expires(shared, redis_server):
    limiter, policy = RateLimiter(shared), Policy("test", 3, 3)
    await asyncio.gather(*(limiter.hit(policy, str(number % 7)) for number in range(50)))
    with redis_server.client() as client:
        keys = client.keys()
        assert len(keys) == 7
        assert all(key.startswith(b"rate-limit:test:") for key in keys)
        assert all(client.pttl(key) > 0 for key in keys)
        async with asyncio.timeout(60):
            while client.keys():
                await asyncio.sleep(0.05)


async def test_a_request_that_is_cancelled_takes_nobody_with_it(shared):
    limiter = RateLimiter(shared)
    hits = [asyncio.create_task(limiter.hit(POLICY, "key")) for _ in range(3)]
    await asyncio.sleep(0)
    hits[0].cancel()
    decisions = await asyncio.gather(*hits, return_exceptions=True)
    assert isinstance(decisions[0], asyncio.CancelledError)
    assert decisions[1].allowed
    assert decisions[2].remaining == 97, "its permit is spent: nothing is given back"


@pytest.mark.parametrize(("limit", "share", "admitted"), [(100, 0.25, 25), (100, 1, 100), (10, 0.25, 2), (2, 0.25, 1)])
async def test_open_admits_the_local_share_without_redis(shared, redis_server, limit, share, admitted):
    redis_server.kill()
    limiter, policy = RateLimiter(shared, local_share=share), Policy("test", limit, 60)
    decisions = await asyncio.gather(*(limiter.hit(policy, "key") for _ in range(200)))
    assert sum(decision.allowed for decision in decisions) == admitted
    assert {decision.limit for decision in decisions} == {admitted}


@pytest.mark.parametrize("share", [0, -1, 1.1])
async def test_a_share_that_makes_no_sense_is_refused(shared, share):
    with pytest.raises(ValueError, match="local_share"):
        RateLimiter(shared, local_share=share)


async def test_closed_refuses_without_redis(shared, redis_server):
    redis_server.kill()
    limiter = RateLimiter(shared, on_outage="closed")
    for _ in range(3):
        with pytest.raises(Refusal) as refusal:
            await limiter.hit(POLICY, "key")
        assert (refusal.value.status, refusal.value.retry_after) == (503, 1)


async def test_no_redis_at_all_is_a_limit_in_this_process():
    outcomes = []
    limiter = RateLimiter(SharedRedis(""), local_share=1, on_decision=lambda policy, outcome: outcomes.append(outcome))
    decisions = [await limiter.hit(Policy("test", 3, 60), "key") for _ in range(5)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
    assert outcomes == ["refused", "refused"], "no outage where nothing was to be there"


async def test_a_redis_that_runs_no_scripts_is_like_none(shared, redis_server, caplog):
    limiter = RateLimiter(shared)
    with redis_server.client() as client:
        await limiter.hit(POLICY, "before")
        client.config_set("maxmemory", 1)
        try:
            caplog.set_level(logging.WARNING)
            decisions = [await limiter.hit(POLICY, "key") for _ in range(50)]
        finally:
            client.config_set("maxmemory", 0)
        assert sum(decision.allowed for decision in decisions) == 25
        assert client.keys("*:key") == []
        async with asyncio.timeout(20):
            while not shared.available:
                await asyncio.sleep(0.01)
        assert (await limiter.hit(POLICY, "key")).limit == 100
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Redis refuses writes",
        "Redis is back",
    ]


async def test_refusals_and_outages_are_told(shared, redis_server):
    outcomes = []
    policy = Policy("test", 4, 60)
    limiter = RateLimiter(shared, on_decision=lambda policy, outcome: outcomes.append((policy.name, outcome)))
    for _ in range(5):
        await limiter.hit(policy, "key")
    assert outcomes == [("test", "refused")]
    redis_server.kill()
    await limiter.hit(policy, "other")
    assert outcomes[1:] == [("test", "local")]
    closed = RateLimiter(shared, on_outage="closed", on_decision=lambda policy, outcome: outcomes.append(outcome))
    with pytest.raises(Refusal):
        await closed.hit(policy, "key")
    assert outcomes[2:] == ["unavailable"]


async def test_redis_killed_and_started_under_load_does_no_harm(shared, redis_server):
    """No call fails or hangs, the local share holds meanwhile, and Redis counts again within two seconds."""
    limiter, ended = RateLimiter(shared), asyncio.Event()
    slowest, counted_in_redis_at = 0.0, 0.0

    async def client(number):
        nonlocal slowest, counted_in_redis_at
        while not ended.is_set():
            started = time.monotonic()
            decision = await limiter.hit(Policy("test", 10_000, 60), f"key{number % 5}")
            now = time.monotonic()
            slowest = max(slowest, now - started)
            if decision.limit == 10_000:
                counted_in_redis_at = counted_in_redis_at or now
            await asyncio.sleep(0.002)

    async with asyncio.timeout(20), asyncio.TaskGroup() as clients:
        for number in range(50):
            clients.create_task(client(number))
        await asyncio.sleep(0.4)
        assert counted_in_redis_at
        await asyncio.to_thread(redis_server.kill)
        await asyncio.sleep(0.6)
        counted_in_redis_at = 0.0
        await asyncio.to_thread(redis_server.start)
        started = time.monotonic()
        await available(shared)
        while not counted_in_redis_at:
            await asyncio.sleep(0.01)
        ended.set()
    print(f"Redis counted again after {counted_in_redis_at - started:.2f} s; the slowest call took {slowest:.2f} s")
    assert counted_in_redis_at - started < 2
    assert slowest < 2


async def test_what_has_not_left_when_redis_is_lost_asks_again_later(redis_server):
    redis = SharedRedis(redis_server.url, timeout=0.2)
    await redis.start()
    limiter = RateLimiter(redis)
    redis_server.freeze()
    under_way = asyncio.create_task(limiter.hit(POLICY, "first"))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(limiter.hit(POLICY, "second"))
    async with asyncio.timeout(60):
        assert [(await hit).limit for hit in (under_way, waiting)] == [25, 25]
    redis_server.thaw()
    await available(redis)
    async with asyncio.timeout(60):
        for key in ("first", "second"):
            while (await limiter.hit(POLICY, key)).limit != 100:
                await asyncio.sleep(0.05)
    await redis.close()


async def test_a_redis_that_hangs_holds_nobody_up_for_long(redis_server):
    redis = SharedRedis(redis_server.url, timeout=0.2)
    await redis.start()
    limiter = RateLimiter(redis)
    redis_server.freeze()
    started = time.monotonic()
    decisions = await asyncio.gather(*(limiter.hit(POLICY, "key") for _ in range(100)))
    assert sum(decision.allowed for decision in decisions) == 25
    assert time.monotonic() - started < 10  # one after the other would take 20 s
    redis_server.thaw()
    await available(redis)
    async with asyncio.timeout(60):
        while (await limiter.hit(POLICY, "key")).limit != 100:
            await asyncio.sleep(0.05)
    await redis.close()
