"""Payments stall for half a minute on every call, with 300 checkouts in flight: nothing else may feel it."""

import asyncio
import contextlib
import time
import uuid

import pytest
from clients import Answer, Client, Tally, after, crowd

pytestmark = pytest.mark.anyio

CHECKOUTS = 300
PAUSE = 2  # seconds of a client between two check-outs, so that the workers have time for others on a busy machine too
SECONDS = 5
FAILURES = 5
RECOVERY = 2
STALL = {"mode": "stall", "seconds": 30}


async def check_out(client: Client) -> Answer:
    """Check out, and come back a moment after the answer."""
    key = uuid.uuid4().hex
    answer = await client.ask("/api/checkout", method="POST", body={"order": 1}, Idempotency_Key=key)
    await asyncio.sleep(PAUSE)
    return answer


async def health(client: Client) -> Answer:
    await asyncio.sleep(0.01)
    return await client.ask("/healthz")


async def order(client: Client) -> Answer:
    await asyncio.sleep(0.01)
    return await client.ask("/api/orders/1")


async def bystanders_of(path: str, seconds: float) -> dict[str, Tally]:
    """What checkouts, and 5 clients each of two other endpoints, get for so long."""
    tallies = {"checkout": Tally(), "health": Tally(), "orders": Tally()}
    checkouts = asyncio.create_task(crowd(path, CHECKOUTS, check_out, until=lambda: False, tally=tallies["checkout"]))
    await asyncio.sleep(1)
    over = after(seconds)
    await asyncio.gather(
        crowd(path, 5, health, until=over, tally=tallies["health"]),
        crowd(path, 5, order, until=over, tally=tallies["orders"]),
    )
    checkouts.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await checkouts
    for name, tally in tallies.items():
        print(f"\n  {name}: {tally}", end="")
    return tallies


async def test_ours_isolates_the_dependency_and_recovers_by_one_probe(serve, redis_server, simulator):
    shop = serve(
        "shop.main:app",
        workers=2,
        APP_REDIS_URL=redis_server.url,
        APP_REDIS_TIMEOUT="1",
        APP_DEPENDENCIES_URL=simulator.url,
        APP_RATE_LIMIT_ANONYMOUS="1000000",
        APP_RATE_LIMIT_CHECKOUT="1000000",
        APP_ATTEMPT_TIMEOUT="2",
        APP_BREAKER_FAILURES=str(FAILURES),
        APP_BREAKER_RECOVERY_TIME=str(RECOVERY),
    )
    simulator.put("/behaviour/payments", json=STALL)
    tallies = await bystanders_of(shop.path, SECONDS)
    assert set(tallies["health"].statuses) == {200}
    assert set(tallies["orders"].statuses) == {200}
    assert set(tallies["checkout"].statuses) <= {503, 504}
    stalled = payments_calls(simulator)

    # Of what had begun before the breaker opened nothing is left; from here on, one probe each recovery time.
    await asyncio.sleep(STALL["seconds"] * 0.1)
    opened = payments_calls(simulator)
    started = time.monotonic()
    tally = await crowd(shop.path, 50, check_out, until=lambda: time.monotonic() - started > 3 * RECOVERY)
    probes = payments_calls(simulator) - opened
    print(
        f"\n  {stalled} calls reached payments while it opened, {probes} probes in {3 * RECOVERY} s after: {tally}",
        end="",
    )
    assert 1 <= probes <= 3 + 1
    assert set(tally.statuses) <= {503, 504}

    simulator.put("/behaviour/payments", json={"mode": "ok"})
    client = Client(shop.path)
    started = time.monotonic()
    async with asyncio.timeout(5 * RECOVERY):
        while (await check_out(client)).status != 200:
            await asyncio.sleep(0.05)
    print(f"\n  closed again {time.monotonic() - started:.2f} s after payments answered", end="")
    tally = await crowd(shop.path, 20, check_out, until=lambda: time.monotonic() - started > 3 * RECOVERY)
    print(f"\n  then: {tally}")
    assert set(tally.statuses) == {200}


def payments_calls(simulator) -> int:
    return simulator.get("/behaviour").json()["payments"]["calls"]
