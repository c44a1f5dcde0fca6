"""Metrics: what each request, WebSocket and event of a pattern leaves, in one process."""

import functools
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from upkeeper import metrics
from upkeeper.circuit_breaker import BreakerEvent
from upkeeper.client import CallEvent
from upkeeper.rate_limit import Policy
from upkeeper.shared import SharedRedis

pytestmark = pytest.mark.anyio

PROJECT = Path(__file__).parents[2]
REQUESTS = "http_request_duration_seconds_count"


def value(name, /, **labels):
    """What a scrape says of one series; None when it has none."""
    text, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


class Change:
    """How much a series grew in a block."""

    def __init__(self, series, /, **labels):
        self.value = functools.partial(value, series, **labels)

    def __enter__(self):
        self.before = self.value() or 0
        return self

    def __exit__(self, *_):
        self.by = (self.value() or 0) - self.before


api = FastAPI()
orders = APIRouter(prefix="/orders")
v1 = APIRouter(prefix="/v1")
mounted = FastAPI()


@orders.get("/{order_id}")
async def order(order_id: int):
    return order_id


@mounted.get("/deep/{key}")
async def deep(key: str):
    return key


@api.get("/direct/{key}")
async def direct(key: str):
    return key


@api.get("/bug")
async def bug():
    raise ZeroDivisionError


@api.get("/half")
async def half():
    async def body():
        yield "half of"
        raise ZeroDivisionError

    return StreamingResponse(body())


@api.websocket("/echo/{key}")
async def echo(socket: WebSocket, key: str):
    await socket.accept()
    await socket.send_text(await socket.receive_text())


@api.websocket("/refused")
async def refused(socket: WebSocket):
    await socket.close()


v1.include_router(orders)
api.include_router(v1, prefix="/api")
api.mount("/mounted", mounted)


@pytest.fixture(scope="module")
def client():
    with TestClient(metrics.MetricsMiddleware(api), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/direct/7", {"method": "GET", "route": "/direct/{key}", "status": "200"}),
        ("GET", "/api/v1/orders/7", {"method": "GET", "route": "/api/v1/orders/{order_id}", "status": "200"}),
        ("GET", "/api/v1/orders/x", {"method": "GET", "route": "/api/v1/orders/{order_id}", "status": "422"}),
        ("POST", "/direct/7", {"method": "POST", "route": "/direct/{key}", "status": "405"}),
        ("GET", "/mounted/deep/7", {"method": "GET", "route": "/mounted/deep/{key}", "status": "200"}),
        ("GET", "/nowhere/7", {"method": "GET", "route": "unmatched", "status": "404"}),
        ("BREW", "/direct/7", {"method": "other", "route": "/direct/{key}", "status": "405"}),
        ("GET", "/bug", {"method": "GET", "route": "/bug", "status": "500"}),
        ("GET", "/half", {"method": "GET", "route": "/half", "status": "200"}),
    ],
)
def test_a_request_is_counted_under_bounded_labels(client, method, path, labels):
    with Change(REQUESTS, **labels) as counted:
        client.request(method, path)
    assert counted.by == 1


async def test_what_raised_before_it_answered_is_a_500():
    async def app(scope, receive, send):
        raise ZeroDivisionError

    with Change(REQUESTS, method="GET", route="unmatched", status="500") as counted, pytest.raises(ZeroDivisionError):
        await metrics.MetricsMiddleware(app)({"type": "http", "method": "GET"}, None, None)
    assert counted.by == 1


def test_time_is_in_seconds(client):
    labels = {"method": "GET", "route": "/direct/{key}", "status": "200"}
    with Change("http_request_duration_seconds_sum", **labels) as seconds:
        client.get("/direct/7")
    assert 0 < seconds.by < 10


def test_websockets_are_counted_while_they_are_open_and_after(client):
    route = "/echo/{key}"
    with Change("websocket_connections_total", route=route) as ever:
        with client.websocket_connect("/echo/7") as socket:
            assert value("websocket_connections_open", route=route) == 1
            socket.send_text("hello")
            socket.receive_text()
        for _ in range(1000):  # the server ends after the client
            if not value("websocket_connections_open", route=route):
                break
            time.sleep(0.01)
        assert value("websocket_connections_open", route=route) == 0
    assert ever.by == 1


def test_a_refused_websocket_was_never_open(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/refused"):
        pass
    assert value("websocket_connections_total", route="/refused") is None


@pytest.mark.parametrize(("kind", "state"), [("opened", 2), ("half_opened", 1), ("closed", 0)])
def test_a_change_of_a_breaker_sets_its_state(kind, state):
    with Change("circuit_breaker_events_total", name="warehouse", kind=kind) as counted:
        metrics.breaker_event(BreakerEvent("warehouse", kind))
    assert counted.by == 1
    assert value("circuit_breaker_state", name="warehouse") == state


def test_other_events_of_a_breaker_leave_its_state():
    metrics.breaker_event(BreakerEvent("payments", "opened"))
    metrics.breaker_event(BreakerEvent("payments", "rejected"))
    assert value("circuit_breaker_state", name="payments") == 2
    assert value("circuit_breaker_events_total", name="payments", kind="rejected") == 1


def test_each_try_of_a_call_is_timed_and_retries_are_counted():
    with (
        Change("dependency_call_duration_seconds_count", name="warehouse", outcome="timeout") as timed_out,
        Change("dependency_call_duration_seconds_sum", name="warehouse", outcome="answered") as seconds,
        Change("dependency_retries_total", name="warehouse") as retried,
    ):
        metrics.call_event(CallEvent("warehouse", "timeout", 2.0, 1))
        metrics.call_event(CallEvent("warehouse", "timeout", 2.0, 2))
        metrics.call_event(CallEvent("warehouse", "answered", 0.5, 3))
    assert (timed_out.by, seconds.by, retried.by) == (2, 0.5, 2)


def test_what_a_rate_limit_decided_is_counted():
    with Change("rate_limit_decisions_total", policy="anonymous", outcome="refused") as refused:
        metrics.limit_decision(Policy("anonymous", 100, 60), "refused")
    assert refused.by == 1


async def test_redis_is_available_or_not(redis_server):
    shared = SharedRedis(redis_server.url)
    shared.on_change.append(metrics.redis_state)
    await shared.start()
    assert value("redis_available") == 1
    await shared.close()
    assert value("redis_available") == 0


def test_build_info_names_the_host():
    text = metrics.render()[0].decode()
    assert re.search(r'^build_info\{host=".+",release=""\} 1.0$|^build_info\{release="",host=".+"\} 1.0$', text, re.M)


def test_to_prepare_too_late_is_an_error(tmp_path):
    metrics.MetricsMiddleware(api)
    with pytest.raises(RuntimeError, match="before any"):
        metrics.prepare(str(tmp_path))


def test_a_route_of_a_mounted_application_keeps_the_path_of_the_mount():
    inner, app = FastAPI(), FastAPI()

    @inner.get("/items/{item}")
    async def item(item: int):
        return item

    app.mount("/tenants/{tenant}/shop", inner)
    client = TestClient(metrics.MetricsMiddleware(app), root_path="/public")
    route = "/tenants/{tenant}/shop/items/{item}"
    with Change(REQUESTS, method="GET", route=route, status="200") as change:
        for tenant in ("ann", "bob", "7"):
            assert client.get(f"/public/tenants/{tenant}/shop/items/7").status_code == 200
    assert change.by == 3


async def test_a_client_that_leaves_is_a_499_and_no_error():
    async def app(scope, receive, send):
        await Request(scope, receive).body()

    async def gone():
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with Change(REQUESTS, method="POST", route="unmatched", status="499") as change:
        await metrics.MetricsMiddleware(app)(scope, gone, None)
    assert change.by == 1


def test_metrics_alone_need_none_of_the_other_patterns():
    """An application that installs `[metrics]` has no Redis and no HTTP client."""
    code = "import sys, upkeeper.metrics; print(*(each for each in sys.modules if each.startswith('upkeeper.')))"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    assert sorted(printed.split()) == ["upkeeper.metrics", "upkeeper.slots"]
