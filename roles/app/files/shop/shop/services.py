"""Everything that lives as long as the process, made from the settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from upkeeper import metrics
from upkeeper.bulkhead import Bulkhead
from upkeeper.circuit_breaker import BreakerPolicy, CircuitBreaker
from upkeeper.client import ServiceClient, Timeouts, http_client
from upkeeper.database import Database
from upkeeper.health import Check, Readiness
from upkeeper.idempotency import IdempotencyStore
from upkeeper.rate_limit import RateLimiter
from upkeeper.retry import RetryBudget, RetryPolicy
from upkeeper.shared import SharedRedis

from shop.identity import Identities
from shop.orders import Orders, OrdersInDatabase, OrdersInMemory
from shop.policies import Policies
from shop.settings import Settings
from shop.shutdown import noticing_shutdown
from shop.simulator import SimulatorControls
from shop.upstream import Upstream

# Seconds between two looks at the dependencies.
CHECK_EVERY = 2.0


class Services:
    """What the routes use. It works between the beginning and the end of `running`, once.

    `database`, `warehouse`, `payments` and `simulator` are None where the settings name none.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.redis = SharedRedis(settings.redis_url, timeout=settings.redis_timeout)
        self.redis.on_change.append(metrics.redis_state)
        self.limiter = RateLimiter(
            self.redis,
            on_outage=settings.rate_limit_on_outage,
            local_share=settings.rate_limit_local_share,
            prefix=f"{settings.name}:rate-limit",
            on_decision=metrics.limit_decision,
        )
        self.idempotency = IdempotencyStore(
            self.redis,
            in_progress=settings.request_timeout + 5,  # nothing of a request runs longer than its deadline
            wait=settings.step_timeout,
            prefix=f"{settings.name}:idempotency:",
        )
        self.identities = Identities(settings.token_key.get_secret_value())
        self.policies = Policies(settings, self.identities)
        self.database = self._database()
        self.orders: Orders = OrdersInMemory() if self.database is None else OrdersInDatabase(self.database)
        self.http = http_client()
        self.breakers = {name: self._breaker(name) for name in ("warehouse", "payments")}
        self.warehouse = self._upstream("warehouse")
        self.payments = self._upstream("payments")
        self.simulator = self._simulator()
        self.readiness = Readiness({}, optional=self._checks(), every=CHECK_EVERY)
        self.streams = Bulkhead("events", settings.events_streams)
        self.stopping = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start, and at the end close everything in the opposite order."""
        await self.redis.start()
        try:
            with noticing_shutdown(self._stop):
                async with self.http, self.readiness:
                    yield
        finally:
            await self.redis.close()
            if self.database is not None:
                await self.database.close()

    async def stopped_within(self, seconds: float) -> bool:
        """Wait, but not into a shutdown. Returns whether there is one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        return self.stopping.is_set()

    def _stop(self) -> None:
        self.readiness.fail("it is shutting down")
        self.stopping.set()

    def _database(self) -> Database | None:
        settings = self.settings
        if not (url := settings.database_url.get_secret_value()):
            return None
        return Database(
            url,
            pool_size=settings.database_pool_size,
            pool_timeout=settings.database_pool_timeout,
            query_timeout=settings.step_timeout,
            listeners=[metrics.database_pool],
        )

    def _breaker(self, name: str) -> CircuitBreaker:
        settings = self.settings
        policy = BreakerPolicy(
            failures=settings.breaker_failures,
            window=settings.breaker_window,
            recovery_time=settings.breaker_recovery_time,
            probe_timeout=2 * settings.attempt_timeout,
        )
        return CircuitBreaker(
            name, policy, self.redis, listeners=[metrics.breaker_event], prefix=f"{settings.name}:breaker:"
        )

    def _upstream(self, name: str) -> Upstream | None:
        settings = self.settings
        if not settings.dependencies_url:
            return None
        client = ServiceClient(
            name,
            http=self.http,
            base_url=f"{settings.dependencies_url.rstrip('/')}/{name}",
            breaker=self.breakers[name],
            bulkhead=Bulkhead(name, settings.dependency_calls),
            timeouts=Timeouts(
                connect=settings.connect_timeout,
                read=settings.read_timeout,
                write=settings.write_timeout,
                pool=settings.pool_timeout,
                attempt=settings.attempt_timeout,
            ),
            retry=RetryPolicy(
                attempts=settings.retry_attempts,
                base_delay=settings.retry_base_delay,
                max_delay=settings.retry_max_delay,
                jitter=settings.retry_jitter,
            ),
            budget=RetryBudget(settings.retry_budget),
            listeners=[metrics.call_event],
        )
        return Upstream(client, total=settings.dependency_timeout)

    def _simulator(self) -> SimulatorControls | None:
        if not (self.settings.dependencies_url and self.settings.simulator_controls):
            return None
        return SimulatorControls(self.http, self.settings.dependencies_url.rstrip("/"))

    def _checks(self) -> dict[str, Check]:
        """What is asked now and then. None of it is required: without any of it there is something that still works."""
        checks: dict[str, Check] = {}
        if self.settings.redis_url:
            checks["redis"] = self.redis.check
        if self.database is not None:
            checks["database"] = partial(self.database.check, "SELECT FROM orders LIMIT 1")
        if self.settings.dependencies_url:
            checks["simulator"] = self._check_simulator
        return checks

    async def _check_simulator(self) -> None:
        answer = await self.http.get(self.settings.dependencies_url.rstrip("/") + "/healthz")
        answer.raise_for_status()
