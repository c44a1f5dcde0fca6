"""Every connection of the pool is in a query of 20 s: the other routes do not feel it, and who needs one is refused."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clients import Answer, Client, Tally, after, crowd

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]
WORKERS, POOL = 2, 3
SECONDS = 2
ROUNDS = 5
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"


async def health(client: Client) -> Answer:
    await asyncio.sleep(0.01)
    return await client.ask("/healthz")


async def build(client: Client) -> Answer:
    await asyncio.sleep(0.01)
    return await client.ask("/api/build")


async def bystanders(path: str) -> Tally:
    """What two other routes answer for a while."""
    tally, over = Tally(), after(SECONDS)
    await asyncio.gather(*(crowd(path, 5, work, until=over, tally=tally) for work in (health, build)))
    assert set(tally.statuses) == {200}
    return tally


async def test_other_routes_do_not_feel_that_every_connection_is_in_a_query(serve, postgres):
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        check=True,
        cwd=PROJECT,
        env=os.environ | {"DATABASE_URL": postgres.url},
    )
    shop = serve(
        "shop.main:app",
        workers=WORKERS,
        DATABASE_URL=postgres.url,
        APP_DATABASE_POOL_SIZE=str(POOL),
        APP_DATABASE_POOL_TIMEOUT="1",
        APP_STEP_TIMEOUT="25",
        APP_RATE_LIMIT_ANONYMOUS="100000000",
    )
    ratios = []
    for _ in range(ROUNDS):  # a machine that is busy with something else is so in some rounds
        calm = await bystanders(shop.path)
        slow, refused = Tally(), Tally()
        asleep = asyncio.create_task(crowd(shop.path, WORKERS * POOL * 3, sleep, until=lambda: False, tally=slow))
        async with asyncio.timeout(60):
            while await asyncio.to_thread(postgres.sql, ASLEEP) != [[str(WORKERS * POOL)]]:
                await asyncio.sleep(0.05)
        asked = asyncio.create_task(crowd(shop.path, 4, order, until=after(SECONDS), tally=refused))
        meanwhile = await bystanders(shop.path)
        await asked
        lasted = set(slow.statuses) <= {503}  # no query has come to its end
        asleep.cancel()
        await asyncio.gather(asleep, return_exceptions=True)
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
        if not lasted:
            continue
        assert set(refused.statuses) == {503}
        assert {answer.headers["retry-after"] for answer in refused.answers} == {"1"}
        ratios.append(meanwhile.percentile(99) / calm.percentile(99))
        print(f"\n  calm: {calm}\n  meanwhile: {meanwhile}\n  who needs a connection: {refused}", end="")
        if ratios[-1] <= 2:
            return
    pytest.fail(f"their p99 was never at most twice that without the fault, but in {len(ratios)} rounds {ratios} times")


async def sleep(client: Client) -> Answer:
    """Take a connection for 20 s; one that is refused tries another worker, as the kernel may have sent most to one."""
    answer = await client.ask("/api/slow?seconds=20")
    if answer.status == 503:
        client.close()
    return answer


async def order(client: Client) -> Answer:
    return await client.ask("/api/orders/1")
