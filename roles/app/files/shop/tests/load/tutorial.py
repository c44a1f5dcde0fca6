"""The shop as tutorials wire it, faults included: what the tests and benchmarks compare with. Do not copy from here.

The limit counts with INCR and EXPIRE and believes X-User-ID; the time-out is `wait_for(call_next)`; every middleware is
a BaseHTTPMiddleware; the breaker is per worker, on the wall clock, and lets a crowd through when it is half open; one
HTTP client with one pool serves every dependency; every exception is tried again.
"""

import asyncio
import os
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import Histogram
from pydantic import BaseModel
from redis.asyncio import Redis
from starlette.middleware.base import BaseHTTPMiddleware

DEPENDENCIES = os.environ.get("APP_DEPENDENCIES_URL", "")
LIMIT = int(os.environ.get("TUTORIAL_LIMIT", "100"))
WINDOW = int(os.environ.get("TUTORIAL_WINDOW", "60"))
ON = os.environ.get("TUTORIAL_MIDDLEWARE", "metrics,timeout,limit").split(",")

duration = Histogram("tutorial_request_duration_seconds", "Time to answer.", ["method", "path", "status"])
Next = Callable[[Request], Awaitable[Response]]


class MetricsMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Next) -> Response:
        started = time.time()
        response = await call_next(request)
        duration.labels(request.method, request.scope["route"].path, response.status_code).observe(
            time.time() - started
        )
        response.headers["X-Request-ID"] = request.headers.get("X-Request-ID") or str(uuid.uuid4())
        return response


class TimeoutMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Next) -> Response:
        try:
            return await asyncio.wait_for(call_next(request), timeout=30)
        except TimeoutError:
            return JSONResponse({"detail": "Request timed out"}, status_code=504)


class RateLimitMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Next) -> Response:
        redis = request.app.state.redis
        key = "rate:" + request.headers.get("X-User-ID", request.client.host if request.client else "unknown")
        count = await redis.incr(key)
        await redis.expire(key, WINDOW)
        if count > LIMIT:
            return JSONResponse({"detail": "Too many requests"}, status_code=429, headers={"Retry-After": str(WINDOW)})
        response = await call_next(request)
        response.headers["X-RateLimit-Limit"] = str(LIMIT)
        response.headers["X-RateLimit-Remaining"] = str(max(0, LIMIT - count))
        return response


class CircuitBreaker:
    def __init__(self, threshold: int = 5, recovery: float = 30) -> None:
        self.threshold, self.recovery = threshold, recovery
        self.failures, self.opened, self.state = 0, 0.0, "closed"

    async def call(self, work: Callable[[], Awaitable[Any]]) -> Any:
        if self.state == "open":
            if time.time() - self.opened < self.recovery:
                raise RuntimeError("circuit open")
            self.state = "half-open"
        try:
            result = await work()
        except Exception:
            self.failures += 1
            if self.failures >= self.threshold:
                self.state, self.opened = "open", time.time()
            raise
        self.failures, self.state = 0, "closed"
        return result


async def retry(work: Callable[[], Awaitable[Any]], attempts: int = 3) -> Any:
    for attempt in range(attempts):
        try:
            return await work()
        except Exception:
            if attempt == attempts - 1:
                raise
            await asyncio.sleep(min(10, 0.5 * 2**attempt) * random.uniform(0.8, 1.2))
    raise AssertionError


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.redis = Redis.from_url(os.environ.get("APP_REDIS_URL", "redis://localhost"), max_connections=1000)
    async with httpx2.AsyncClient(base_url=DEPENDENCIES, timeout=10) as client:
        app.state.http = client
        yield
    await app.state.redis.aclose()


class Order(BaseModel):
    id: int
    item: str
    quantity: int


app = FastAPI(lifespan=lifespan)
breaker = CircuitBreaker()


@app.get("/healthz")
async def health() -> dict[str, str]:
    return {"status": "alive"}


@app.get("/api/orders/{order_id}")
async def order(order_id: int, request: Request) -> Order:
    if not DEPENDENCIES:
        return Order(id=order_id, item="Espresso cup", quantity=2)
    return Order(**(await retry(lambda: request.app.state.http.get(f"/warehouse/orders/{order_id}"))).json())


@app.post("/api/checkout")
async def checkout(request: Request) -> Any:
    async def charge() -> httpx2.Response:
        answer = await request.app.state.http.post("/payments/charges", json={"amount": 100, "order": 1})
        return answer.raise_for_status()

    return (await retry(lambda: breaker.call(charge))).json()


MIDDLEWARE = {"limit": RateLimitMiddleware, "timeout": TimeoutMiddleware, "metrics": MetricsMiddleware}
for name, middleware in MIDDLEWARE.items():
    if name in ON:
        app.add_middleware(middleware)
