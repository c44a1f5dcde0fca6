"""Four processes, 50 clients each, one Redis, three windows. Run as a program, this file is one of the four."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from upkeeper.limiter import RateLimiter
from upkeeper.shared import SharedRedis
from upkeeper.sliding_window import Policy

PROCESSES, CLIENTS, LIMIT, WINDOW, WINDOWS = 4, 50, 500, 2.0, 3


async def admitted_in_this_process(url):
    """When each admitted call was sent and answered, by both recipes: seconds since the common start."""
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

    async def client(recipe, admitted):
        await asyncio.sleep(start - time.monotonic())
        while (sent := time.monotonic() - start) < WINDOWS * WINDOW + 0.5:
            if await recipe():
                admitted.append((sent, time.monotonic() - start))
            else:
                await asyncio.sleep(0.1)

    recipes = (ours, incr_and_expire)
    results = {recipe.__name__: [] for recipe in recipes}
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
def admitted(_redis_process):
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
    return {recipe: sorted(call for output in outputs for call in output[recipe]) for recipe in outputs[0]}


def wait_until(condition):
    give_up = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < give_up, "the processes did not start"
        time.sleep(0.02)


def per_window(calls):
    """Calls admitted around the moments when all permits are free: the first call, and each window after it."""
    first = min(answered for _, answered in calls)
    windows = [round((answered - first) / WINDOW) for _, answered in calls]
    return [windows.count(number) for number in range(WINDOWS)]


def test_ours_admits_the_limit_in_each_window_and_never_more(admitted):
    calls = admitted["ours"]
    print("admitted per window:", per_window(calls))
    assert per_window(calls) == pytest.approx([LIMIT] * WINDOWS, rel=0.01)
    # A call was admitted at some moment between the two times, so what lies wholly in a window was admitted in it.
    for sent, _ in calls:
        assert sum(sent <= other_sent and answered <= sent + WINDOW for other_sent, answered in calls) <= LIMIT


def test_incr_and_expire_never_lets_a_steady_crowd_back_in(admitted):
    print("admitted per window:", per_window(admitted["incr_and_expire"]))
    assert sum(per_window(admitted["incr_and_expire"])) == LIMIT, "what one window may hold, in all of them"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(admitted_in_this_process(sys.argv[1]))))
