"""Four workers and three hundred clients: the limit is the limit, in every window."""

import asyncio
import time

import pytest
from clients import Client, Tally

pytestmark = pytest.mark.anyio

LIMIT = 200
CLIENTS = 300
WINDOW = 10  # seconds; the clients together need a tenth of it on a machine with twenty times the work it can do


async def all_at_once(path: str) -> Tally:
    """One request of each client, all of the same address."""

    async def ask() -> None:
        client = Client(path)
        tally.answers.append(await client.ask("/api/orders/1", X_Forwarded_For="203.0.113.9"))
        client.close()

    tally = Tally()
    await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    print(f"\n  {tally}", end="")
    return tally


async def test_ours_admits_the_limit_in_every_window(serve, redis_server):
    shop = serve(
        "shop.main:app",
        APP_REDIS_URL=redis_server.url,
        APP_REDIS_TIMEOUT="2",
        APP_RATE_LIMIT_ANONYMOUS=str(LIMIT),
        APP_RATE_LIMIT_WINDOW=str(WINDOW),
    )
    for _ in range(2):
        began = time.monotonic()
        first, second = await all_at_once(shop.path), await all_at_once(shop.path)
        ended = time.monotonic()
        assert first.statuses == {200: LIMIT, 429: CLIENTS - LIMIT}
        assert ended - began < WINDOW, "both were to be in one window"
        assert second.statuses == {429: CLIENTS}
        # The last permit was taken before `ended`, and comes back up to a thousandth of a window late.
        await asyncio.sleep(ended + WINDOW * 1.01 - time.monotonic())
