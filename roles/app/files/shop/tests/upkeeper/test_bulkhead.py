"""Bulkhead: never more than the limit, and no place is ever lost."""

import asyncio
import contextlib
import random

import pytest
from upkeeper.bulkhead import Bulkhead, BulkheadFull

pytestmark = pytest.mark.anyio


async def hold(bulkhead, until, entered=None):
    async with bulkhead:
        if entered is not None:
            entered.append(asyncio.current_task().get_name())
        await until.wait()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_full_one_refuses_at_once():
    bulkhead, end = Bulkhead("bank", 2), asyncio.Event()
    calls = [asyncio.create_task(hold(bulkhead, end)) for _ in range(2)]
    await settle()
    assert bulkhead.in_use == 2
    with pytest.raises(BulkheadFull) as refused:
        async with bulkhead:
            pytest.fail("a third call")
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    end.set()
    await asyncio.gather(*calls)
    assert bulkhead.in_use == 0
    async with bulkhead:
        assert bulkhead.in_use == 1


async def test_who_may_not_wait_is_refused_in_the_same_turn():
    bulkhead = Bulkhead("bank", 1)
    async with bulkhead:
        with pytest.raises(BulkheadFull):
            bulkhead.__aenter__().send(None)  # it awaits nothing


async def test_a_call_that_fails_leaves_its_place():
    bulkhead = Bulkhead("bank", 1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            async with bulkhead:
                raise ValueError("broken")
    assert bulkhead.in_use == 0


async def test_who_waits_goes_in_the_order_of_coming():
    bulkhead, end, entered = Bulkhead("bank", 1, wait=30), asyncio.Event(), []
    calls = [asyncio.create_task(hold(bulkhead, end, entered), name=str(n)) for n in range(5)]
    await settle()
    assert entered == ["0"]
    end.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*calls)
    assert entered == ["0", "1", "2", "3", "4"]


async def test_nobody_overtakes_those_who_wait():
    bulkhead, end, entered = Bulkhead("bank", 1, wait=30), asyncio.Event(), []
    calls = [asyncio.create_task(hold(bulkhead, end, entered), name=str(n)) for n in range(2)]
    await settle()
    end.set()
    while bulkhead.in_use:  # the first leaves, the second has not run yet
        await asyncio.sleep(0)
    entered.clear()
    late = asyncio.create_task(hold(bulkhead, end, entered), name="late")
    await asyncio.gather(*calls, late)
    assert entered[-1] == "late"


async def test_the_wait_is_bounded():
    bulkhead, end = Bulkhead("bank", 1, wait=0.05), asyncio.Event()
    call = asyncio.create_task(hold(bulkhead, end))
    await settle()
    async with asyncio.timeout(60):
        with pytest.raises(BulkheadFull):
            async with bulkhead:
                pytest.fail("a second call")
    end.set()
    await call


async def test_cancellation_while_waiting_loses_no_place():
    """Cancel at every moment there is: in the queue, as the place is handed over, and inside."""
    chance = random.Random(7)
    bulkhead, most = Bulkhead("bank", 3, wait=30), 0

    async def call():
        nonlocal most
        async with bulkhead:
            most = max(most, bulkhead.in_use)
            await asyncio.sleep(0)

    for _ in range(200):
        tasks = [asyncio.create_task(call()) for _ in range(12)]
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 6):
            task.cancel()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks, return_exceptions=True)
    assert (most, bulkhead.in_use) == (3, 0)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(bulkhead)


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="limit is 0"):
        Bulkhead("bank", 0)


async def test_a_place_that_was_handed_over_is_taken_before_its_caller_runs():
    """In the turn in which a place falls free, one who came later must not get it."""
    bulkhead, order, end = Bulkhead("bank", 1, wait=30), [], asyncio.Event()

    async def first():
        async with bulkhead:
            await end.wait()

    async def enter(name):
        async with bulkhead:
            order.append(name)

    leaving = asyncio.create_task(first())
    await settle()
    waiting = asyncio.create_task(enter("waiting"))
    await settle()
    end.set()
    while bulkhead.in_use:
        await asyncio.sleep(0)
    assert order == [], "the place is handed over and its caller has not run yet"
    bulkhead.wait = 0  # whoever cannot wait is refused, because the place is taken
    with pytest.raises(BulkheadFull):
        await bulkhead.__aenter__()
    await asyncio.gather(leaving, waiting)
    assert order == ["waiting"]
