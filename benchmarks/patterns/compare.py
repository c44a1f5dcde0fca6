"""Three cases against one Redis: how many a limit admits, how many try an open breaker, and who gets whose answer."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from idempotency_header_middleware import IdempotencyHeaderMiddleware
from idempotency_header_middleware.backends import RedisBackend
from limits import RateLimitItemPerSecond
from limits.aio import strategies
from limits.aio.storage import RedisStorage
from purgatory import AsyncCircuitBreakerFactory, AsyncRedisUnitOfWork
from purgatory.domain.model import OpenedState
from redis.asyncio import Redis
from throttled.asyncio import RedisStore, Throttled, rate_limiter
from throttled.exceptions import StoreUnavailableError
from upkeeper.circuit_breaker import BreakerPolicy, CircuitBreaker, CircuitOpen
from upkeeper.errors import Refusal, answer_refusal
from upkeeper.idempotency import IdempotencyStore
from upkeeper.rate_limit import Policy, RateLimiter
from upkeeper.shared import SharedRedis

PROCESSES = 4
LIMIT, WINDOW, LASTS = 50, 1.0, 5.0
RECOVERY = 2.0

Attempt = Callable[[], Awaitable[bool]]


async def limiter(name: str, path: str) -> Attempt:
    """Whether one more call of 50 in any second is admitted, as this package decides it."""
    if name == "upkeeper":
        redis = SharedRedis(f"unix://{path}", timeout=2)
        await redis.start()
        ours, policy = RateLimiter(redis), Policy("bench", LIMIT, WINDOW)

        async def attempt() -> bool:
            return (await ours.hit(policy, "key")).allowed

    elif name.startswith("limits"):
        kind = {
            "limits, moving window": strategies.MovingWindowRateLimiter,
            "limits, fixed window": strategies.FixedWindowRateLimiter,
        }[name]
        theirs = kind(RedisStorage(f"async+redis+unix://{path}", implementation="redispy"))
        item = RateLimitItemPerSecond(LIMIT)

        async def attempt() -> bool:
            return await theirs.hit(item, "key")

    else:
        kind = {"throttled, GCRA": "gcra", "throttled, sliding window": "sliding_window"}[name]
        quota = rate_limiter.per_sec(LIMIT, burst=LIMIT)
        throttled = Throttled(using=kind, quota=quota, store=RedisStore(server=f"unix://{path}"), key="key")

        async def attempt() -> bool:
            with contextlib.suppress(StoreUnavailableError):  # its connections time out on a busy machine
                return not (await throttled.limit("key")).limited
            return False

    return attempt


async def breaker(name: str, path: str) -> tuple[Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]], type]:
    """A way to call through a breaker that opens at three failures, and what it raises instead of calling."""
    if name == "upkeeper":
        redis = SharedRedis(f"unix://{path}", timeout=2)
        await redis.start()
        ours = CircuitBreaker("bench", BreakerPolicy(failures=3, recovery_time=RECOVERY), redis)
        return (lambda function: ours(function)()), CircuitOpen

    factory = AsyncCircuitBreakerFactory(
        default_threshold=3, default_ttl=RECOVERY, uow=AsyncRedisUnitOfWork(f"unix://{path}")
    )
    await factory.initialize()

    async def call(function: Callable[[], Awaitable[Any]]) -> Any:
        async with await factory.get_breaker("bench"):
            return await function()

    return call, OpenedState


async def meet(path: str) -> None:
    """Wait until all processes are there."""
    async with Redis(unix_socket_path=path) as redis:
        await redis.incr("ready")
        while int(await redis.get("ready")) < PROCESSES:
            await asyncio.sleep(0.01)


async def hit(name: str, path: str) -> list[tuple[float, float]]:
    """Ask from 25 tasks for five seconds; return when each admitted call began and ended."""
    attempt = await limiter(name, path)
    await meet(path)
    admitted: list[tuple[float, float]] = []
    end = time.monotonic() + LASTS

    async def client() -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            if await attempt():
                admitted.append((began, time.monotonic()))
            await asyncio.sleep(0.02)

    await asyncio.gather(*(client() for _ in range(25)))
    return admitted


async def probe(name: str, path: str) -> list[float]:
    """Open the breaker, wait for its recovery, then call from 20 tasks in each process; return when calls arrived."""
    call, refused = await breaker(name, path)
    arrived: list[float] = []

    async def fails() -> None:
        raise OSError

    async def slow_failure() -> None:
        arrived.append(time.monotonic())
        await asyncio.sleep(0.5)
        raise OSError

    for _ in range(3):
        with contextlib.suppress(OSError, refused):
            await call(fails)
    await meet(path)
    await asyncio.sleep(RECOVERY + 0.2)

    async def client() -> None:
        with contextlib.suppress(OSError, refused):
            await call(slow_failure)

    await asyncio.gather(*(client() for _ in range(20)))
    return arrived


async def idempotency(name: str, path: str) -> str:
    """Send 50 duplicates at once, then the key with another body and from another caller."""
    app, runs = FastAPI(), Counter[str]()
    if name == "upkeeper":
        redis = SharedRedis(f"unix://{path}", timeout=2)
        await redis.start()
        store = IdempotencyStore(redis)
        app.add_exception_handler(Refusal, answer_refusal)
    else:
        backend = RedisBackend(redis=Redis(unix_socket_path=path))
        app.add_middleware(IdempotencyHeaderMiddleware, backend=backend, enforce_uuid4_formatting=False)

    @app.post("/pay")
    async def pay(request: Request) -> Any:
        caller, body = request.headers["authorization"], (await request.body()).decode()

        async def work(_key: str = "") -> JSONResponse:
            runs[body] += 1
            await asyncio.sleep(0.05)
            return JSONResponse({"paid": body, "by": caller})

        return await (store.respond(request, work, caller=caller) if name == "upkeeper" else work())

    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://bench", timeout=60
    ) as client:

        async def post(body: str, caller: str) -> httpx2.Response:
            headers = {"Idempotency-Key": "key", "Authorization": caller}
            return await client.post("/pay", content=body, headers=headers)

        statuses = Counter(
            answer.status_code for answer in await asyncio.gather(*(post("10", "ann") for _ in range(50)))
        )
        other_body, other_caller = await post("9999", "ann"), await post("10", "bob")
    whose = other_caller.json().get("by", "nobody") if other_caller.status_code == 200 else "nobody"
    return (
        f"50 duplicates ran {runs['10'] - (whose == 'bob')} times ({dict(statuses)}); another body got "
        f"{other_body.status_code}; bob got the answer of {whose}"
    )


def in_processes(case: str, name: str, path: str) -> list[Any]:
    """Run a case in four processes at once, and return all that they found."""
    command = [sys.executable, __file__, case, name, path]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    return [found for worker in workers for found in json.loads(worker.communicate(timeout=900)[0])]


def main() -> None:
    """Run all cases, each on an empty Redis of its own."""
    rows: list[tuple[str, str, str]] = []
    for case, names in (
        (
            "hit",
            [
                "upkeeper",
                "limits, moving window",
                "limits, fixed window",
                "throttled, GCRA",
                "throttled, sliding window",
            ],
        ),
        ("probe", ["upkeeper", "purgatory"]),
        ("idempotency", ["upkeeper", "asgi-idempotency-header"]),
    ):
        for name in names:
            with tempfile.TemporaryDirectory(prefix="redis-") as folder:
                path = f"{folder}/redis.sock"
                server = subprocess.Popen(
                    ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder],
                    stdout=subprocess.DEVNULL,
                )
                while not Path(path).exists():
                    time.sleep(0.02)
                try:
                    rows.append((case, name, result(case, name, path)))
                finally:
                    server.terminate()
                    server.wait()
                print(*rows[-1], sep=" | ", flush=True)


def result(case: str, name: str, path: str) -> str:
    """One case in one sentence."""
    if case == "idempotency":
        return asyncio.run(idempotency(name, path))
    found = in_processes(case, name, path)
    if case == "probe":
        first = min(found, default=0.0)
        at_once = sum(moment < first + 0.5 for moment in found)
        return f"{at_once} of {PROCESSES * 20} calls reached the dependency in the half-open state"
    calls = sorted((began, ended) for began, ended in found)
    # Calls that began and ended within one window, wherever it begins: what no clock can argue away.
    worst = max(sum(began >= start and ended < start + WINDOW for began, ended in calls) for start, _ in calls)
    return f"{len(calls)} admitted in {LASTS:g} s; worst window {worst} of {LIMIT}"


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(json.dumps(asyncio.run({"hit": hit, "probe": probe}[sys.argv[1]](*sys.argv[2:]))))
