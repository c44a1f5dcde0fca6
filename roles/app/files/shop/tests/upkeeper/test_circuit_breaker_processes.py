"""The breaker over several operating system processes with one Redis."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import redis
from upkeeper.circuit_breaker import BreakerPolicy, CircuitBreaker, CircuitOpen, State
from upkeeper.shared import SharedRedis

pytestmark = pytest.mark.anyio

POLICY = BreakerPolicy(failures=1, recovery_time=0.1, probe_timeout=60)
PROCESSES, TASKS = 4, 50


def process(url):
    """Let 50 tasks try at once; how many got through."""
    return asyncio.run(compete(url))


async def compete(url):
    shared = SharedRedis(url, timeout=5)  # the machine may be busy, and this is not about a slow Redis
    await shared.start()
    breaker = CircuitBreaker("bank", POLICY, shared)
    counters = redis.asyncio.Redis.from_url(url)

    async def reach(name, count):
        await counters.incr(name)
        while int(await counters.get(name)) < count:
            await asyncio.sleep(0.01)

    async def call():
        try:
            async with breaker:
                # The probe ends when all others were answered, so every one of them came while it was under way.
                await reach("answered", PROCESSES * TASKS)
                return 1
        except CircuitOpen:
            await counters.incr("answered")
            return 0

    async with asyncio.timeout(180):
        await reach("started", PROCESSES)
        through = sum(await asyncio.gather(*(call() for _ in range(TASKS))))
    await counters.aclose()
    await shared.close()
    return through


async def test_of_200_calls_in_4_processes_one_is_the_probe(redis_server, shared):
    breaker = CircuitBreaker("bank", POLICY, shared)
    with pytest.raises(ConnectionError):
        async with breaker:
            raise ConnectionError
    while await breaker.state() is not State.HALF_OPEN:
        await asyncio.sleep(0.01)
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        loop = asyncio.get_running_loop()
        through = await asyncio.gather(
            *(loop.run_in_executor(pool, process, redis_server.url) for _ in range(PROCESSES))
        )
    assert sum(through) == 1
    assert await breaker.state() is State.CLOSED
