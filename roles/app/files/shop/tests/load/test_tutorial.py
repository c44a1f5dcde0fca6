"""What the tutorials' wiring does under that load: its limit admits nobody again, one endpoint takes the other down.

No change of ours can break these comparisons, so they run with `LONG=1` alone.
"""

import pytest
from test_cascade import STALL, bystanders_of
from test_rate_limit import LIMIT, WINDOW, WINDOWS, admitted_by_window

pytestmark = pytest.mark.anyio


async def test_its_limit_admits_nobody_after_the_first_window(serve, redis_server):
    app = serve(
        "tutorial:app",
        APP_REDIS_URL=redis_server.url,
        TUTORIAL_LIMIT=str(LIMIT),
        TUTORIAL_WINDOW=str(WINDOW),
        TUTORIAL_MIDDLEWARE="limit",
    )
    admitted = await admitted_by_window(app.path)
    print(f"  INCR and EXPIRE: {admitted} of {LIMIT} in each of {WINDOWS} windows")
    assert sum(admitted[1:]) < 0.01 * LIMIT


async def test_a_dependency_that_stalls_takes_the_other_endpoint_down(serve, redis_server, simulator):
    app = serve(
        "tutorial:app",
        workers=1,  # with more, all who ask for orders may have found another one than those who check out
        APP_REDIS_URL=redis_server.url,
        APP_DEPENDENCIES_URL=simulator.url,
        TUTORIAL_LIMIT="1000000",
    )
    simulator.put("/behaviour/payments", json=STALL)
    tallies = await bystanders_of(app.path, 8)
    # Not the p99: who is stuck asks seldom.
    assert tallies["orders"].percentile(100) > 5
