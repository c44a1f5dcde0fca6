"""Four workers and two hundred clients: the limit is the limit, in every window."""

import time

import pytest
from clients import BROKEN, Answer, Client, after, crowd

pytestmark = pytest.mark.anyio

LIMIT = 200  # few enough that the clients ask for more on a machine that is busy with something else, too
WINDOW = 3
WINDOWS = 3


async def admitted_by_window(path: str) -> list[int]:
    """How many of one client address's requests each window admitted.

    The windows begin half a one before the first answer. Permits are taken and come back in bursts, so each begins and
    ends where nothing is admitted, and it makes no difference that an answer arrives later than it was decided.
    """
    times: list[float] = []

    async def ask(client: Client) -> Answer:
        answer = await client.ask("/api/orders/1", X_Forwarded_For="203.0.113.9")
        if answer.status == 200:
            times.append(time.monotonic())
        return answer

    tally = await crowd(path, 200, ask, until=after((WINDOWS + 0.5) * WINDOW))
    print(f"\n  {tally}")
    assert set(tally.statuses) == {200, 429}, tally
    assert BROKEN not in tally.statuses
    windows = [int((at - times[0]) / WINDOW + 0.5) for at in times]
    return [windows.count(window) for window in range(WINDOWS)]


async def test_ours_admits_the_limit_in_every_window(serve, redis_server):
    shop = serve(
        "shop.main:app",
        APP_REDIS_URL=redis_server.url,
        APP_REDIS_TIMEOUT="2",
        APP_RATE_LIMIT_ANONYMOUS=str(LIMIT),
        APP_RATE_LIMIT_WINDOW=str(WINDOW),
    )
    admitted = await admitted_by_window(shop.path)
    print(f"  ours: {admitted} of {LIMIT} in each of {WINDOWS} windows")
    assert admitted == [pytest.approx(LIMIT, rel=0.01)] * WINDOWS
