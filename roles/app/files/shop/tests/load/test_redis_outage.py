"""Redis dies under load and comes back: nobody gets an error for it, and the limit is shared again at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from clients import Answer, Client, Tally, crowd

pytestmark = pytest.mark.anyio

WORKERS = 4
LIMIT = 200
WINDOW = 1
PATIENCE = 60  # seconds until all workers have to share again


async def test_redis_killed_and_started_again(serve, redis_server):
    async def outage():
        redis_server.kill()
        await asyncio.sleep(3.5)
        await asyncio.to_thread(redis_server.start)
        return time.monotonic()

    await under_load(serve, redis_server.url, outage, "the start of Redis")


async def test_the_primary_of_a_group_killed(serve, redis_group):
    async def outage():
        killed = time.monotonic()
        redis_group.kill(redis_group.primary())
        await asyncio.sleep(redis_group.down_after / 2)
        return killed

    await under_load(serve, redis_group.url, outage, "the end of the primary")


async def under_load(serve: Callable[..., Any], url: str, outage: Callable[[], Awaitable[float]], since: str) -> None:
    """Ask all the time while `outage` takes Redis away; it returns since when sharing again is measured."""
    shop = serve(
        "shop.main:app",
        workers=WORKERS,
        APP_REDIS_URL=url,
        APP_REDIS_TIMEOUT="2",
        APP_RATE_LIMIT_ANONYMOUS=str(LIMIT),
        APP_RATE_LIMIT_WINDOW=str(WINDOW),
    )
    phases: dict[str, Tally] = {}
    reached: dict[int, bool] = {}
    phase = "before"

    async def ask(client: Client) -> Answer:
        started_in = phase
        answer = await client.ask("/api/orders/1", X_Forwarded_For="203.0.113.9")
        phases.setdefault(started_in, Tally()).answers.append(answer)
        if started_in == "returning":
            await note_redis(client, reached)
        return answer

    load = asyncio.create_task(crowd(shop.path, 50, ask, until=lambda: phase == "over"))
    await asyncio.sleep(2.5)
    phase = "away"
    back = await outage()
    phase = "returning"
    await all_workers_share(shop.path, reached)
    shared_after = time.monotonic() - back
    await asyncio.sleep(WINDOW)
    phase = "after"
    started = time.monotonic()
    await asyncio.sleep(4 * WINDOW)
    seconds = time.monotonic() - started
    phase = "over"
    tally = await load
    for name, part in phases.items():
        print(f"\n  {name}: {part}", end="")
    admitted = phases["after"].statuses[200]
    print(f"\n  all {WORKERS} workers shared the limit again {shared_after:.2f} s after {since}", end="")
    print(f"\n  then {admitted} admitted in {seconds:.2f} s, at {LIMIT} a second")
    assert set(tally.statuses) == {200, 429}, tally
    assert phases["away"].statuses[200] > 0
    assert admitted <= LIMIT * (seconds / WINDOW + 1)


async def all_workers_share(path: str, reached: dict[int, bool]) -> None:
    """Wait until every worker says that it reaches Redis.

    A busy worker takes no new connection while others are idle, so the crowd asks over the connections that it has.
    """
    give_up = time.monotonic() + PATIENCE
    while sum(reached.values()) < WORKERS:
        assert time.monotonic() < give_up, f"after {PATIENCE} s these workers reach Redis: {reached}"
        client = Client(path)
        await note_redis(client, reached)
        client.close()
        await asyncio.sleep(0.005)


async def note_redis(client: Client, reached: dict[int, bool]) -> None:
    """Ask the worker of this connection whether it reaches Redis."""
    status = (await client.ask("/api/status")).json()
    (redis,) = (each for each in status["dependencies"] if each["name"] == "redis")
    reached[status["build"]["worker"]] = redis["state"] == "up"
