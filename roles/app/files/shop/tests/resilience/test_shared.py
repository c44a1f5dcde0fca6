"""SharedRedis: scripts in one round trip, and going on when Redis is away."""

import asyncio
import time

import pytest
from resilience.shared import RedisAway, Script, SharedRedis

pytestmark = pytest.mark.anyio

COUNT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def test_a_script_runs(shared):
    assert [await shared.run(COUNT, ["n"], [2]), await shared.run(COUNT, ["n"], [3])] == [2, 5]


async def test_what_is_asked_together_runs_once_each(shared):
    answers = await asyncio.gather(*(shared.run(COUNT, ["n"], [1]) for _ in range(500)))
    assert sorted(answers) == list(range(1, 501))


async def test_a_cancelled_caller_takes_nobody_with_it(shared):
    calls = [asyncio.create_task(shared.run(COUNT, ["n"], [1])) for _ in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answers[0], answers[2]] == [1, 3]
    assert isinstance(answers[1], asyncio.CancelledError)


async def test_scripts_that_redis_forgot_are_sent_again(shared, redis_server):
    await shared.run(COUNT, ["n"], [1])
    with redis_server.client() as client:
        client.script_flush()
    assert await shared.run(COUNT, ["n"], [1]) == 2


async def test_a_dead_redis_is_noticed_and_found_again(shared, redis_server):
    changes = []
    shared.on_change.append(changes.append)
    redis_server.kill()
    with pytest.raises(RedisAway):
        await shared.run(COUNT, ["n"], [1])
    redis_server.start()
    async with asyncio.timeout(5):
        while not shared.available:
            await asyncio.sleep(0.01)
    assert await shared.run(COUNT, ["n"], [1]) == 1
    assert changes == [False, True]


async def test_a_frozen_redis_holds_a_call_for_the_time_out_and_no_other(redis_server):
    redis = SharedRedis(redis_server.url, timeout=0.2)
    await redis.start()
    redis_server.freeze()
    started = time.monotonic()
    results = await asyncio.gather(*(redis.run(COUNT, ["n"], [1]) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(result, RedisAway) for result in results)
    assert time.monotonic() - started < 2
    with pytest.raises(RedisAway):
        await redis.run(COUNT, ["n"], [1])
    redis_server.thaw()
    await redis.close()


async def test_no_redis_is_a_redis_that_is_away():
    redis = SharedRedis("")
    await redis.start()
    with pytest.raises(RedisAway):
        await redis.run(COUNT, ["n"], [1])
    await redis.close()


async def test_a_redis_that_starts_later_is_found(redis_server):
    redis_server.kill()
    redis = SharedRedis(redis_server.url, check_every=0.05)
    await redis.start()
    assert not redis.available
    redis_server.start()
    async with asyncio.timeout(5):
        while not redis.available:
            await asyncio.sleep(0.01)
    await redis.close()
