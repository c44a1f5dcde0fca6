"""What each test of the package begins with."""

import asyncio

import pytest
from upkeeper.errors import use_problem_details
from upkeeper.shared import SharedRedis


@pytest.fixture(autouse=True)
def _problem_details():
    """The package's own form of an error, whatever the shop chose in the same process."""
    use_problem_details(True)


@pytest.fixture
async def slow_to_refuse(redis_server, monkeypatch):
    """A connected SharedRedis whose refusals come when the wait that they end with, in microseconds, is over."""
    redis = SharedRedis(redis_server.url, timeout=60)
    ask = redis._round_trip

    async def slowly(batch):
        answers = await ask(batch)
        for granted, *_, microseconds in answers:
            if not granted:
                await asyncio.sleep(microseconds / 1_000_000 + 0.01)
        return answers

    monkeypatch.setattr(redis, "_round_trip", slowly)
    await redis.start()
    yield redis
    await redis.close()
