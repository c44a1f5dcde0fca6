"""Metrics in Prometheus's format that add up over the workers of Gunicorn.

Each worker writes into files of its own in one folder, and whichever worker is asked adds them up. The files belong to
a slot, not to a process id: a worker that replaces another goes on in its files, so that counters never go back and the
number of files does not grow with the number of workers that ever lived.
"""

import functools
import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, Metric, generate_latest, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .slots import Slots

if TYPE_CHECKING:
    from .circuit_breaker import BreakerEvent
    from .client import CallEvent
    from .limiter import Outcome
    from .sliding_window import Policy

# Seconds. From what a worker answers out of its memory to the longest that a request usually may take.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"

CLIENT_LEFT = 499  # as Nginx calls it

_STATES = {"closed": 0, "half_opened": 1, "opened": 2}


class _Metrics:
    """All metrics of this package. Gauges say how the values of the workers become one."""

    def __init__(self) -> None:
        self.requests = Histogram(
            "http_request_duration_seconds",
            "Time from the request to the last byte of its answer.",
            ["method", "route", "status"],
            buckets=BUCKETS,
        )
        self.websockets = Counter("websocket_connections_total", "WebSockets that were accepted.", ["route"])
        self.websockets_open = Gauge(
            "websocket_connections_open", "WebSockets that are open now.", ["route"], multiprocess_mode="livesum"
        )
        self.breaker_state = Gauge(
            "circuit_breaker_state",
            "0 closed, 1 half-open, 2 open; as the last worker that saw it change.",
            ["name"],
            multiprocess_mode="mostrecent",
        )
        self.breaker_events = Counter("circuit_breaker_events_total", "What happened at a breaker.", ["name", "kind"])
        self.calls = Histogram(
            "dependency_call_duration_seconds",
            "Time of each try of a call to another service.",
            ["name", "outcome"],
            buckets=BUCKETS,
        )
        self.retries = Counter("dependency_retries_total", "Tries after the first one.", ["name"])
        self.rate_limit = Counter(
            "rate_limit_decisions_total",
            "Requests that were refused, counted without Redis (local), or turned away without it (unavailable).",
            ["policy", "outcome"],
        )

    @functools.cached_property
    def redis_available(self) -> Gauge:
        """Made when it is first set: a service without Redis has no such gauge."""
        return Gauge("redis_available", "1 when every worker can use Redis, else 0.", multiprocess_mode="livemin")

    @functools.cached_property
    def redis_refusing(self) -> Gauge:
        """As `redis_available`."""
        return Gauge(
            "redis_refusing", "1 when Redis answers a worker and takes no writes, else 0.", multiprocess_mode="livemax"
        )

    @functools.cached_property
    def database_in_use(self) -> Gauge:
        """As `redis_available`."""
        return Gauge("database_connections_in_use", "Connections to the database in use.", multiprocess_mode="livesum")

    @functools.cached_property
    def database_limit(self) -> Gauge:
        """As `redis_available`."""
        return Gauge("database_connections_limit", "Connections to the database at most.", multiprocess_mode="livesum")


@functools.cache
def _metrics() -> _Metrics:
    return _Metrics()


@dataclass(slots=True)
class _Setup:
    """What `prepare` was told."""

    collector: Collector = REGISTRY
    release: str = ""
    host: str = field(default_factory=platform.node)

    def collect(self) -> Iterator[Metric]:
        """All that a scrape shows."""
        build = GaugeMetricFamily("build_info", "Which release answers, and where.", labels=["release", "host"])
        build.add_metric([self.release, self.host], 1)
        yield build
        yield from self.collector.collect()


_setup = _Setup()


def prepare(directory: str, *, release: str = "", host: str = "") -> None:
    """Say where the workers of one instance meet, and what `build_info` tells (`host`: this host's name by default).

    Call it once, before any metric is made. `directory` is made when it is missing. It must be on a local file system,
    best in memory, and for this instance alone; with an empty one the metrics stay in this process, which is right for
    one worker. Raises RuntimeError when there are metrics already, OSError when the directory cannot be used.
    """
    if _metrics.cache_info().currsize:
        raise RuntimeError("Call upkeeper.metrics.prepare before any middleware or metric is made.")
    _setup.release = release
    _setup.host = host or _setup.host
    if directory:
        _setup.collector = _Workers(Path(directory))


def render() -> tuple[bytes, str]:
    """Return the sums over all workers, and their content type.

    It reads files: call it in a thread, as a plain `def` endpoint does. Tell the proxy not to publish it.
    """
    return generate_latest(_setup), CONTENT_TYPE_LATEST


class _Workers:
    """The files of all workers. A value of prometheus_client is in one of them from when an object of this is made."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.slots = Slots(folder, self._forget_gauges)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # the library asks nothing else for it
        values.ValueClass = values.MultiProcessValue(self.slots.mine)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """Add up; a gauge that means now counts only for processes that live."""
        living = self.slots.taken()
        files = [
            file
            for file in self.folder.glob("*.db")
            if not file.name.startswith("gauge_live") or int(file.stem.rpartition("_")[2]) in living
        ]
        begun = [str(file) for file in files if _has_begun(file)]
        metrics: Iterable[Metric] = MultiProcessCollector.merge(begun)  # type: ignore[no-untyped-call]
        return metrics

    def _forget_gauges(self, slot: int) -> None:
        for file in self.folder.glob(f"gauge_live*_{slot}.db"):
            file.unlink()


def _has_begun(file: Path) -> bool:
    """Whether there is anything in it: a worker makes a file first, and fills it a moment later."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


class MetricsMiddleware:
    """Times each request up to the last byte of its answer, and counts WebSockets.

    The labels are bounded: known methods (else "other"), the path of the route as it is written in the application
    (else "unmatched"), the status. A request that raised before it answered counts as 500, and one whose client left in
    the middle of its body as 499: there is nobody to answer, so the exception ends here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._metrics = _metrics()
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and watch what it sends."""
        if scope["type"] == "websocket":
            await self._count_websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500
        complete = False

        def send_and_watch(message: Message) -> Awaitable[None]:
            nonlocal status, complete
            kind = message["type"]
            if kind == "http.response.start":
                status = message["status"]
            elif kind == "http.response.body" and not message.get("more_body", False):
                complete = True
                self._observe(scope, status, time.perf_counter() - began)
            return send(message)

        try:
            await self.app(scope, receive, send_and_watch)
        except ClientDisconnect:
            status = CLIENT_LEFT
        finally:
            if not complete:
                self._observe(scope, status, time.perf_counter() - began)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"]
        key = (method if method in METHODS else "other", _route(scope), status)
        observe = self._observers.get(key)
        if observe is None:  # to find it by its labels each time would cost half as much again as to observe
            observe = self._observers[key] = self._metrics.requests.labels(*key).observe
        observe(seconds)

    async def _count_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        gauge: Gauge | None = None

        def send_and_count(message: Message) -> Awaitable[None]:
            nonlocal gauge
            if message["type"] == "websocket.accept":
                route = _route(scope)
                self._metrics.websockets.labels(route).inc()
                gauge = self._metrics.websockets_open.labels(route)
                gauge.inc()
            return send(message)

        try:
            await self.app(scope, receive, send_and_count)
        finally:
            if gauge is not None:
                gauge.dec()


def _route(scope: Scope) -> str:
    """The route's path as it is written, with that of the application that it is mounted in: `/shop/orders/{id}`."""
    # FastAPI knows the path of a route from a router that was included, prefixes and all, only here.
    fastapi = scope.get("fastapi")
    route = (fastapi and fastapi.get("effective_route_context")) or scope.get("route")
    path = getattr(route, "path", None)
    return _mount(scope, route) + (path or "") or UNMATCHED


def _mount(scope: Scope, route: object) -> str:
    """The path of all mounts that lead to a route, with names in place of values."""
    outer = scope.get("app_root_path")  # only a mount sets it, to what the server calls the root
    if outer is None:
        return ""
    mount: str = scope["root_path"][len(outer) :]
    own = getattr(route, "param_convertors", ())
    names = {str(value): name for name, value in scope.get("path_params", {}).items() if name not in own}
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in mount.split("/"))


def breaker_event(event: "BreakerEvent") -> None:
    """Listener of a `CircuitBreaker`."""
    metrics = _metrics()
    metrics.breaker_events.labels(event.name, event.kind).inc()
    if event.kind in _STATES:
        metrics.breaker_state.labels(event.name).set(_STATES[event.kind])


def call_event(event: "CallEvent") -> None:
    """Listener of a `ServiceClient`."""
    metrics = _metrics()
    metrics.calls.labels(event.name, event.outcome).observe(event.seconds)
    if event.attempt > 1 and event.outcome not in ("open", "full"):  # those two sent nothing
        metrics.retries.labels(event.name).inc()


def limit_decision(policy: "Policy", outcome: "Outcome") -> None:
    """`on_decision` of a `RateLimiter`."""
    _metrics().rate_limit.labels(policy.name, outcome).inc()


def redis_state(state: str) -> None:
    """For `on_change` of a `SharedRedis`."""
    _metrics().redis_available.set(state == "up")
    _metrics().redis_refusing.set(state == "refusing")


def database_pool(in_use: int, limit: int) -> None:
    """Listener of a `Database`."""
    _metrics().database_in_use.set(in_use)
    _metrics().database_limit.set(limit)
