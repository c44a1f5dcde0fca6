"""Four processes, 50 clients each, one Redis, three windows. Run as a program, this file is one of the four."""

import asyncio
import json
import os
import subprocess
import sys
import time
from bisect import bisect_left, bisect_right
from pathlib import Path

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from upkeeper.limiter import RateLimiter
from upkeeper.shared import SharedRedis
from upkeeper.sliding_window import Policy

PROCESSES, CLIENTS, LIMIT, WINDOW, WINDOWS = 4, 50, 500, 2.0, 3
# Calls of a thousandth of a window leave together, and the clock of Redis may be as much apart.
SLOT = 2 * WINDOW / 1000


async def calls_of_this_process(url):
    """When each call was sent and answered, by both recipes and by what it was told: seconds since the common start."""
    shared = SharedRedis(url, timeout=2)
    plain = Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=4))
    await shared.start()
    limiter, policy = RateLimiter(shared), Policy("ours", LIMIT, WINDOW)

    async def ours(key="key"):
        return (await limiter.hit(policy, key)).allowed

    async def incr_and_expire(key="plain"):
        count = await plain.incr(key)
        await plain.expire(key, int(WINDOW))
        return count <= LIMIT

    async def client(recipe, told):
        await asyncio.sleep(start - time.monotonic())
        while (sent := time.monotonic() - start) < WINDOWS * WINDOW + 0.5:
            allowed = await recipe()
            told["admitted" if allowed else "refused"].append((sent, time.monotonic() - start))
            if not allowed:
                await asyncio.sleep(0.1)

    recipes = (ours, incr_and_expire)
    results = {recipe.__name__: {"admitted": [], "refused": []} for recipe in recipes}
    for recipe in recipes:
        await recipe("warm")
    await plain.incr("ready")
    while not (start := float(await plain.get("start") or 0)):
        await asyncio.sleep(0.01)
    async with asyncio.TaskGroup() as clients:
        for recipe in recipes:
            for _ in range(CLIENTS):
                clients.create_task(client(recipe, results[recipe.__name__]))
    await shared.close()
    await plain.aclose()
    return results


@pytest.fixture(scope="module")
def calls(_redis_process):
    if _redis_process._process is None:
        _redis_process.start()
    command = [sys.executable, __file__, _redis_process.url]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with _redis_process.client() as client:
        client.flushall()
        workers = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(PROCESSES)
        ]
        try:
            wait_until(lambda: client.get("ready") == str(PROCESSES).encode())
            client.set("start", time.monotonic() + 0.2)
            outputs = [json.loads(worker.communicate(timeout=180)[0]) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
    return {
        recipe: {told: sorted(call for output in outputs for call in output[recipe][told]) for told in by_answer}
        for recipe, by_answer in outputs[0].items()
    }


def wait_until(condition):
    give_up = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < give_up, "the processes did not start"
        time.sleep(0.02)


def test_ours_admits_the_limit_in_each_window_and_never_more(calls):
    """A call was decided at some moment between its two times, on whatever machine."""
    admitted, refused = calls["ours"]["admitted"], calls["ours"]["refused"]
    print(len(admitted), "admitted", len(refused), "refused")
    # What lies wholly in a window was admitted in it.
    for sent, _ in admitted:
        assert sum(sent <= other and answered <= sent + WINDOW for other, answered in admitted) <= LIMIT
    # Who is refused finds a window that is full: of calls that are a window old the last has gone, but for a slot.
    assert refused
    every_sent, every_answer = sorted(sent for sent, _ in admitted), sorted(answered for _, answered in admitted)
    for sent, answered in refused:
        begun = bisect_right(every_sent, answered)
        gone = bisect_left(every_answer, sent - WINDOW - SLOT)
        assert begun - gone >= LIMIT, (sent, answered)


def test_incr_and_expire_never_lets_a_steady_crowd_back_in(calls):
    admitted = calls["incr_and_expire"]["admitted"]
    assert len(admitted) == LIMIT, "what one window may hold, in all of them"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(calls_of_this_process(sys.argv[1]))))
