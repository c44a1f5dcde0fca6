"""Readiness: what the checks say, whatever the checks do."""

import asyncio
import contextlib
import json
import logging
import threading

import pytest
from upkeeper.health import Readiness

pytestmark = pytest.mark.anyio


class Dependency:
    """A dependency of the test's own, which is up, raises, hangs or says no."""

    def __init__(self, mode="up"):
        self.mode = mode
        self.asked = 0

    async def check(self):
        self.asked += 1
        if self.mode == "raises":
            raise ConnectionError("refused")
        if self.mode == "hangs":
            await asyncio.sleep(3600)
        if self.mode == "holds on":
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(3600)
                    break
                if self.mode == "up":
                    break
        if self.mode == "cancels":
            raise asyncio.CancelledError
        return self.mode != "says no"


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def readiness(required=None, optional=None):
    checks = {"database": required.check} if required else {}
    others = {"redis": optional.check} if optional else {}
    return Readiness(checks, optional=others, every=0.01, timeout=0.05)


async def test_not_ready_until_the_first_round_is_done():
    entered = asyncio.Event()
    answer = asyncio.Event()

    async def check():
        entered.set()
        await answer.wait()

    async with Readiness({"database": check}, timeout=5) as health:
        await entered.wait()
        assert not health.ready
        assert health.report()["dependencies"]["database"] == {
            "state": "unknown",
            "required": True,
            "since": None,
            "error": None,
            "latency_ms": None,
        }
        answer.set()
        await until(lambda: health.ready)
        assert health.reason is None


async def test_ready_at_once_when_there_is_nothing_to_check():
    async with Readiness({}) as health:
        await until(lambda: health.ready)


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("raises", "ConnectionError: refused"),
        ("hangs", "no answer within 0.05 s"),
        ("holds on", "no answer within 0.05 s"),
        ("says no", "RuntimeError: the check said no"),
        ("cancels", "the check was cancelled"),
    ],
)
async def test_a_required_dependency_that_fails_and_comes_back(mode, error):
    database = Dependency()
    async with readiness(database) as health:
        await until(lambda: health.ready)
        database.mode = mode
        await until(lambda: not health.ready)
        assert health.reason == f"Not usable: database ({error})"
        assert health.report()["dependencies"]["database"]["error"] == error
        database.mode = "up"
        await until(lambda: health.ready)


@pytest.mark.parametrize("mode", ["raises", "hangs", "holds on", "says no", "cancels"])
async def test_an_optional_dependency_is_shown_and_never_makes_it_unready(mode):
    redis = Dependency(mode)
    async with readiness(Dependency(), redis) as health:
        await until(lambda: health.ready)
        shown = health.report()["dependencies"]["redis"]
        assert (shown["state"], shown["required"]) == ("down", False)
        redis.mode = "up"
        await until(lambda: health.report()["dependencies"]["redis"]["state"] == "up")


async def test_a_check_that_hangs_does_not_hold_up_the_others():
    stuck, other = Dependency("holds on"), Dependency()
    async with readiness(optional=stuck, required=other) as health:
        await until(lambda: other.asked > 3)
        assert health.ready
        assert stuck.asked == 1
        stuck.mode = "up"
        await until(lambda: stuck.asked > 1)


async def test_a_function_that_is_no_check_is_down():
    async with Readiness({"database": lambda: True}, every=0.01) as health:
        await until(lambda: health.report()["dependencies"]["database"]["state"] == "down")
        assert not health.ready


async def test_reading_asks_nobody():
    database = Dependency()
    async with Readiness({"database": database.check}, every=3600) as health:
        await until(lambda: health.ready)
        for _ in range(100):
            health.report()
        assert database.asked == 1


async def test_told_to_fail():
    async with readiness(Dependency()) as health:
        await until(lambda: health.ready)
        health.fail("maintenance")
        assert not health.ready
        assert health.reason == "Told to fail: maintenance"
        assert health.report()["dependencies"]["database"]["state"] == "up"
        health.restore()
        assert health.ready


async def test_not_ready_once_it_has_stopped():
    database = Dependency()
    health = readiness(database)
    await health.start()
    await until(lambda: health.ready)
    await health.stop()
    assert not health.ready
    asked = database.asked
    await asyncio.sleep(0.05)
    assert database.asked == asked


async def test_stopping_ends_a_check_that_is_under_way():
    ended = asyncio.Event()

    async def check():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    health = Readiness({"database": check}, timeout=3600)
    await health.start()
    await asyncio.sleep(0.01)
    await health.stop()
    await asyncio.wait_for(ended.wait(), 5)


async def test_stopping_what_never_started():
    health = readiness(Dependency())
    await health.stop()
    assert not health.ready


async def test_the_report_is_json_and_can_be_read_by_a_thread():
    async with readiness(Dependency(), Dependency("raises")) as health:
        await until(lambda: health.ready)
        reports = []
        thread = threading.Thread(target=lambda: reports.append(health.report()))
        thread.start()
        await asyncio.to_thread(thread.join)
        report = json.loads(json.dumps(reports[0]))
        assert (report["ready"], report["reason"]) == (True, None)
        database = report["dependencies"]["database"]
        assert database.pop("since") >= 0
        assert database.pop("latency_ms") >= 0
        assert database == {"state": "up", "required": True, "error": None}


async def test_the_report_says_how_long_a_check_took():
    async def check():
        await asyncio.sleep(0.02)

    async with Readiness({"database": check}) as health:
        await until(lambda: health.ready)
        assert 20 <= health.report()["dependencies"]["database"]["latency_ms"] < 2000


async def test_only_changes_are_logged(caplog):
    caplog.set_level(logging.INFO, "upkeeper.health")
    database = Dependency()
    async with readiness(database) as health:
        await until(lambda: health.ready)
        database.mode = "raises"
        before = database.asked
        await until(lambda: database.asked > before + 3)
        database.mode = "up"
        await until(lambda: health.ready)
    assert [record.getMessage() for record in caplog.records] == [
        "database cannot be used: ConnectionError: refused",
        "database can be used again",
    ]


def test_a_dependency_is_required_or_optional():
    with pytest.raises(ValueError, match="not both: redis"):
        Readiness({"redis": Dependency().check}, optional={"redis": Dependency().check})
