"""Alarms: many time-outs of one length on one timer, each with the manners of `asyncio.timeout`."""

import asyncio
import socket
import time

import pytest
from upkeeper.alarms import Alarm, Alarms

pytestmark = pytest.mark.anyio


async def sleep_within(alarms, seconds):
    """Sleep, bounded by an alarm. Returns whether it rang, and when."""
    began = time.monotonic()
    with Alarm(alarms) as alarm:
        await asyncio.sleep(seconds)
    return alarm.rang, time.monotonic() - began


async def test_it_rings_when_the_time_has_passed_and_not_before():
    rang, after = await sleep_within(Alarms(0.05), 30)
    assert rang
    assert after >= 0.05


async def test_what_ends_in_time_is_left_alone():
    assert (await sleep_within(Alarms(30), 0))[0] is False


async def test_each_of_many_has_its_own_time():
    alarms = Alarms(0.2)

    async def one(start):
        await asyncio.sleep(start)
        return await sleep_within(alarms, 30 if start else 0.1)

    results = await asyncio.gather(*(one(start / 100) for start in range(10)))
    assert [rang for rang, _ in results] == [False] + [True] * 9
    assert all(after >= 0.2 for _, after in results[1:])


async def test_the_timer_starts_again_after_a_pause():
    alarms = Alarms(0.05)
    assert (await sleep_within(alarms, 30))[0]
    await asyncio.sleep(0.1)
    assert (await sleep_within(alarms, 30))[0]


async def test_a_stopped_alarm_does_not_ring():
    with Alarm(Alarms(0.05)) as alarm:
        alarm.stop()
        await asyncio.sleep(0.1)
    assert alarm.at is None
    assert not alarm.rang


async def test_the_cancellation_of_somebody_else_passes():
    task = asyncio.create_task(sleep_within(Alarms(30), 30))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_the_alarm_is_not_swallowed():
    went_on = False

    async def both():
        nonlocal went_on
        with Alarm(Alarms(0.05)):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                asyncio.current_task().cancel()
                raise
        went_on = True

    task = asyncio.create_task(both())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not went_on


async def test_an_error_that_follows_passes_and_the_task_goes_on_uncancelled():
    async def fail_late():
        with Alarm(Alarms(0.05)):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                raise KeyError from None

    with pytest.raises(KeyError):
        await fail_late()
    assert asyncio.current_task().cancelling() == 0


async def test_alarms_for_one_leave_no_timer_behind():
    alarms = Alarms(30, lasting=False)
    with Alarm(alarms):
        timer = alarms._timer
        assert timer is not None
    assert timer.cancelled()


def test_another_loop_gets_a_timer_of_its_own():
    alarms = Alarms(0.05)
    for _ in range(2):
        assert asyncio.run(sleep_within(alarms, 0)) == (False, pytest.approx(0, abs=0.05))
        assert asyncio.run(sleep_within(alarms, 30))[0]


@pytest.mark.parametrize(("patience", "rang"), [(0, True), (5, False)])
async def test_a_loop_that_was_held_up_reads_what_has_come_first(patience, rang):
    reader, writer = await asyncio.open_connection(sock=(pair := socket.socketpair())[0])
    with Alarm(Alarms(0.05, patience=patience)) as alarm:
        asyncio.get_running_loop().call_later(0.01, lambda: (pair[1].send(b"here in time"), time.sleep(0.2)))
        assert await reader.read(4) == b"here"
    writer.close()
    pair[1].close()
    assert alarm.rang is rang


async def test_patience_has_an_end():
    rang, after = await sleep_within(Alarms(0.05, patience=0.1), 30)
    assert rang

    async def hold_up():
        while True:
            time.sleep(0.03)
            await asyncio.sleep(0)

    busy = asyncio.create_task(hold_up())
    rang, after = await sleep_within(Alarms(0.05, patience=0.1), 30)
    busy.cancel()
    assert rang
    assert after >= 0.15
