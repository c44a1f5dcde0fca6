"""Forty thousand requests of every kind leave nothing behind, nor do ten times as many with `LONG=1`."""

import itertools
import os
from pathlib import Path

import pytest
from clients import Answer, Client, Tally, crowd

pytestmark = pytest.mark.anyio

REQUESTS = 400_000 if os.environ.get("LONG") else 40_000
WARM_UP = 20_000
# Megabytes. An object of 100 bytes left behind by each of 40,000 requests would be 4.
BOUND = 3


async def test_memory_is_flat(serve, redis_server):
    shop = serve("shop.main:app", workers=1, APP_REDIS_URL=redis_server.url, APP_RATE_LIMIT_ANONYMOUS="20")
    (worker,) = shop.workers()
    number = itertools.count()
    targets = [
        "/api/orders/1",
        "/healthz",
        "/api/orders/99",
        "/nowhere/{n}",
        "/api/build",
        "/static/shop.css",
    ]

    async def ask(client: Client) -> Answer:
        n = next(number)
        target = targets[n % len(targets)].format(n=n)
        # More addresses than the limiters remember, and an id of its own for every request.
        return await client.ask(
            target, X_Forwarded_For=f"198.51.{n // 100 % 256}.{n % 256}", X_Request_ID=f"request-{n}"
        )

    async def run(requests: int) -> Tally:
        left = itertools.count(requests, -1)
        return await crowd(shop.path, 20, ask, until=lambda: next(left) <= 0)

    await run(WARM_UP)
    before = resident(worker)
    tally = await run(REQUESTS)
    grown = resident(worker) - before
    print(f"\n  {len(tally.answers)} requests: {tally}\n  {before:.1f} MB resident, {grown:+.2f} MB afterwards")
    assert len(tally.answers) >= REQUESTS
    assert set(tally.statuses) <= {200, 404, 429}
    assert grown < BOUND


def resident(pid: int) -> float:
    """Megabytes of memory that a process has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise AssertionError(pid)
