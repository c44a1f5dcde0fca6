"""SharedRedis with a group: which Redis is the primary is asked of the Sentinels."""

import asyncio
import time

import pytest
from upkeeper.shared import RedisAway, Script, SharedRedis

pytestmark = pytest.mark.anyio

COUNT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def until_it_answers(redis, within):
    """How long it takes until a script runs, in seconds; it may only fail by RedisAway until then."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        try:
            await redis.run(COUNT, ["again"], [1])
        except RedisAway:
            await asyncio.sleep(0.01)
        else:
            return time.monotonic() - began
    pytest.fail(f"not shared again within {within} s")


async def test_a_group_goes_on_with_another_primary_and_with_what_was_known(redis_group, caplog):
    redis = SharedRedis(redis_group.url)
    await redis.start()
    assert await redis.run(COUNT, ["n"], [1]) == 1
    await asyncio.sleep(0.5)  # replicas are told a moment later
    first = redis_group.primary()
    redis_group.kill(first)
    redis_group.kill(redis_group.sentinel_ports[0])  # a whole host, and the one that is asked first
    seconds = await until_it_answers(redis, 20)
    print(f"shared again {seconds:.2f} s after the primary was killed", end=" ")
    assert seconds >= redis_group.down_after / 2
    assert await redis.run(COUNT, ["n"], [1]) == 2
    assert [record.message.split(":")[0] for record in caplog.records] == ["Redis is away", "Redis is back"]
    await redis.close()


async def test_a_primary_that_became_a_replica_is_left(redis_group):
    redis = SharedRedis(redis_group.url)
    await redis.start()
    await redis.run(COUNT, ["n"], [1])
    first = redis_group.primary()
    with redis_group.client(first) as client:
        # Not as Sentinel does it, which closes the connections, too: it answers READONLY over the one that there is.
        client.replicaof("127.0.0.1", next(port for port in redis_group.ports if port != first))
    with pytest.raises(RedisAway):
        await redis.run(COUNT, ["n"], [1])
    assert not redis.available
    # Sentinel still names it, and it answers, but a replica is no Redis to count with.
    await asyncio.sleep(1.2)
    assert not redis.available
    with redis_group.client(first) as client:
        client.replicaof("NO", "ONE")
    await until_it_answers(redis, 5)
    await redis.close()


async def test_a_primary_that_hands_over_before_it_stops_is_hardly_missed(redis_group):
    redis = SharedRedis(redis_group.url)
    await redis.start()
    assert await redis.run(COUNT, ["n"], [1]) == 1
    first = redis_group.primary()
    with redis_group.client(redis_group.sentinel_ports[0]) as client:
        client.sentinel_failover("primary")
    async with asyncio.timeout(20):
        while redis_group.primary() == first:
            await asyncio.sleep(0.02)
    redis_group.kill(first)
    assert await until_it_answers(redis, 10) < redis_group.down_after
    assert await redis.run(COUNT, ["n"], [1]) == 2
    await redis.close()


async def test_without_any_sentinel_redis_is_away(caplog):
    redis = SharedRedis("redis+sentinel://:x@127.0.0.1:1,127.0.0.1:2,[::1]:3/primary", timeout=0.1)
    await redis.start()
    with pytest.raises(RedisAway):
        await redis.run(COUNT, ["n"], [1])
    assert [record.message for record in caplog.records] == ["Redis is away: No master found for 'primary'"]
    await redis.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://:secret@10.0.0.5:26379",
        "redis+sentinel://:se/cret@10.0.0.5:26379/primary/0",
        "redis+sentinel://:secret@10.0.0.5:26379/primary/first",
    ],
)
def test_an_url_that_names_no_group_is_refused_without_its_password(url):
    with pytest.raises(ValueError, match=r"write redis\+sentinel://:PASSWORD@HOST:26379,HOST:26379/NAME/0") as caught:
        SharedRedis(url)
    assert "cret" not in str(caught.value)


def test_the_parts_of_an_url():
    redis = SharedRedis("redis+sentinel://:p%40%2F@10.0.0.5:26379,[2001:db8::6]:26380,redis3/shared.2/7")
    places = [each.connection_pool.connection_kwargs for each in redis._sentinels]
    assert [(each["host"], each["port"], each["password"]) for each in places] == [
        ("10.0.0.5", 26379, "p@/"),
        ("2001:db8::6", 26380, "p@/"),
        ("redis3", 26379, "p@/"),
    ]
    pool = redis._client.connection_pool
    assert (pool.service_name, pool.connection_kwargs["db"], pool.connection_kwargs["password"]) == (
        "shared.2",
        7,
        "p@/",
    )


def test_parts_that_an_url_leaves_out():
    redis = SharedRedis("redis+sentinel://10.0.0.5/shared")
    (sentinel,) = (each.connection_pool.connection_kwargs for each in redis._sentinels)
    assert (sentinel["port"], sentinel["password"]) == (26379, None)
    assert redis._client.connection_pool.connection_kwargs["db"] == 0
