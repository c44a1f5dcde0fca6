"""SharedRedis: scripts in one round trip, and going on when Redis is away."""

import asyncio
import logging
import time

import pytest
from upkeeper.rate_limit import Policy, RateLimiter
from upkeeper.shared import RedisAway, RedisState, Script, SharedRedis

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


async def test_arguments_are_asked_for_when_the_call_leaves(shared):
    wanted = [1]
    answer = shared.submit(COUNT, ["n"], lambda: wanted)
    wanted[0] = 7
    assert await answer == 7


async def test_a_script_that_fails_harms_no_other_and_is_logged_once(shared, caplog):
    wrong = Script("return redis.call('GET')")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            failed, counted = await asyncio.gather(
                shared.run(wrong, []), shared.run(COUNT, ["n"], [1]), return_exceptions=True
            )
            assert isinstance(failed, RedisAway)
            assert isinstance(counted, int)
    assert shared.available
    assert [record.message.split(":")[0] for record in caplog.records] == ["Redis refuses a script"]


async def test_a_script_whose_answer_was_lost_is_not_sent_again(redis_server):
    losing = False

    async def pump(reader, writer, *, answers):
        nonlocal losing
        while data := await reader.read(65536):
            if answers and losing:
                losing = False
                break
            writer.write(data)
        writer.close()

    async def between(reader, writer):
        redis_reader, redis_writer = await asyncio.open_unix_connection(redis_server.socket)
        await asyncio.gather(pump(reader, redis_writer, answers=False), pump(redis_reader, writer, answers=True))

    path = redis_server.folder / "between.sock"
    async with await asyncio.start_unix_server(between, path), asyncio.timeout(60):
        redis = SharedRedis(f"unix://{path}", timeout=2)
        await redis.start()
        assert await redis.run(COUNT, ["n"], [1]) == 1
        losing = True
        with pytest.raises(RedisAway):
            await redis.run(COUNT, ["n"], [1])
        await redis.close()
    with redis_server.client() as client:
        assert client.get("n") == b"2"


async def test_a_dead_redis_is_noticed_and_found_again(shared, redis_server):
    changes = []
    shared.on_change.append(changes.append)
    redis_server.kill()
    with pytest.raises(RedisAway):
        await shared.run(COUNT, ["n"], [1])
    redis_server.start()
    async with asyncio.timeout(60):
        while not shared.available:
            await asyncio.sleep(0.01)
    assert await shared.run(COUNT, ["n"], [1]) == 1
    assert changes == [RedisState.AWAY, RedisState.UP]


async def test_a_frozen_redis_holds_a_call_for_the_time_out_and_no_other(redis_server):
    redis = SharedRedis(redis_server.url, timeout=0.2)
    await redis.start()
    redis_server.freeze()
    started = time.monotonic()
    results = await asyncio.gather(*(redis.run(COUNT, ["n"], [1]) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(result, RedisAway) for result in results)
    assert time.monotonic() - started < 5  # one after the other would take 10 s
    with pytest.raises(RedisAway):
        await redis.run(COUNT, ["n"], [1])
    redis_server.thaw()
    await redis.close()


async def test_no_redis_is_a_redis_that_is_away():
    redis = SharedRedis("")
    await redis.start()
    with pytest.raises(RedisAway):
        await redis.run(COUNT, ["n"], [1])
    with pytest.raises(RedisAway):
        await redis.submit(COUNT, ["n"], lambda: [1])
    await redis.close()


async def test_a_redis_that_starts_later_is_found(redis_server):
    redis_server.kill()
    redis = SharedRedis(redis_server.url, check_every=0.05)
    await redis.start()
    assert not redis.available
    redis_server.start()
    async with asyncio.timeout(60):
        while not redis.available:
            await asyncio.sleep(0.01)
    await redis.close()


@pytest.mark.parametrize("refusal", ["full", "read-only", "not allowed"])
async def test_a_redis_that_refuses_writes_is_a_state_of_its_own(redis_server, refusal, caplog):
    redis = SharedRedis(redis_server.url, timeout=2, check_every=0.02)
    changes = []
    await redis.start()
    redis.on_change.append(changes.append)
    limiter, policy = RateLimiter(redis), Policy("all", 100, 60)
    allowed = {
        "full": (["CONFIG", "SET", "maxmemory", "100kb"], ["CONFIG", "SET", "maxmemory", "0"]),
        "read-only": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
        "not allowed": (["ACL", "SETUSER", "default", "-@list"], ["ACL", "SETUSER", "default", "+@all"]),
    }
    with redis_server.client() as admin, caplog.at_level(logging.WARNING):
        assert (await limiter.hit(policy, "key")).limit == 100
        admin.execute_command(*allowed[refusal][0])
        try:
            assert (await limiter.hit(policy, "key")).limit == 25, "it goes on alone"
            expected = RedisState.AWAY if refusal == "read-only" else RedisState.REFUSING
            await asyncio.sleep(0.1)  # several checks, which do not take a PING for a sign
            assert (redis.state, redis.available, changes) == (expected, False, [expected])
            with pytest.raises(RedisAway, match=r"memory|read only|can't run|no permissions"):
                await redis.check()
        finally:
            admin.execute_command(*allowed[refusal][1])
    async with asyncio.timeout(20):
        while not redis.available:
            await asyncio.sleep(0.01)
    await redis.check()
    assert (await limiter.hit(policy, "key")).limit == 100
    assert changes == [expected, RedisState.UP]
    assert len(caplog.records) == 2, "one line when it begins and one when it ends"
    await redis.close()


async def test_a_former_primary_behind_the_same_address_is_left(redis_server, other_redis, tmp_path):
    """What a moved address does: connections that are open stay with a Redis that is a replica by now."""
    primary = redis_server

    async def pump(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def address(reader, writer):
        redis_reader, redis_writer = await asyncio.open_unix_connection(primary.socket)
        await asyncio.gather(pump(reader, redis_writer), pump(redis_reader, writer), return_exceptions=True)

    path = tmp_path / "address.sock"
    async with await asyncio.start_unix_server(address, path), asyncio.timeout(30):
        redis = SharedRedis(f"unix://{path}", timeout=2, check_every=0.02)
        await redis.start()
        assert await redis.run(COUNT, ["n"], [1]) == 1
        primary = other_redis
        with redis_server.client() as admin:
            admin.execute_command("REPLICAOF", "127.0.0.1", "1")
            try:
                with pytest.raises(RedisAway):
                    await redis.run(COUNT, ["n"], [1])
                while not redis.available:
                    await asyncio.sleep(0.01)
                assert await redis.run(COUNT, ["n"], [10]) == 10, "asked of the new primary"
            finally:
                admin.execute_command("REPLICAOF", "NO", "ONE")
        await redis.close()


async def test_a_key_that_is_no_unicode_harms_nobody_and_works(shared):
    keys = ["key", "member:\ud800", "member:\ud801"]
    answers = await asyncio.gather(*(shared.run(COUNT, [key], ["1"]) for key in keys * 2))
    assert answers == [1, 1, 1, 2, 2, 2]
    assert shared.available


async def test_a_redis_that_nobody_started_is_loud():
    redis = SharedRedis("unix:///nowhere.sock")
    for ask in (
        lambda: redis.run(COUNT, ["n"], [1]),
        lambda: redis.submit(COUNT, ["n"], lambda: [1]),
        lambda: RateLimiter(redis).hit(Policy("all", 1, 60), "key"),
    ):
        with pytest.raises(RuntimeError, match=r"await redis\.start\(\)"):
            await ask()
