"""The limit as clients see it: middleware, per-route dependency, headers, WebSockets, and whose request it is."""

import asyncio
import logging
import re
import socket

import httpx2
import pytest
import uvicorn
import websockets
from fastapi import Depends, FastAPI, WebSocket
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from upkeeper.deadline import DeadlineMiddleware
from upkeeper.errors import Refusal, answer_refusal, refusal_headers, use_problem_details
from upkeeper.rate_limit import (
    Decision,
    Policy,
    RateLimiter,
    RateLimitMiddleware,
    RequestLimits,
    client_key,
    limit,
)
from upkeeper.shared import SharedRedis

pytestmark = pytest.mark.anyio

POLICY = Policy("default", 3, 60)
CHECKOUT = Policy("checkout", 1, 3600)

# RFC 9651: a list of strings with parameters that are integers.
ITEM = r'"[\x20-\x21\x23-\x5b\x5d-\x7e]+"(;[a-z][a-z0-9]*=\d+)+'
FIELD = re.compile(f"{ITEM}(, {ITEM})*")


def choose(scope):
    return None if scope["path"] == "/healthz" else (POLICY, client_key(scope))


def shop(limiter=None):
    app = FastAPI()
    app.add_exception_handler(Refusal, answer_refusal)
    app.add_middleware(
        RateLimitMiddleware, limiter=limiter or RateLimiter(SharedRedis(""), local_share=1), choose=choose
    )

    @app.get("/")
    @app.get("/healthz")
    async def home() -> str:
        return "ok"

    @app.post("/checkout", dependencies=[Depends(limit(CHECKOUT))])
    async def checkout() -> str:
        return "paid"

    @app.get("/catalogue", dependencies=[Depends(limit(Policy("catalogue", 1000, 60)))])
    async def catalogue() -> str:
        return "cups"

    @app.get("/never")
    async def never() -> str:
        await asyncio.sleep(3600)
        return "never"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def numbers():
            for number in range(3):
                yield f"{number}\n"

        return StreamingResponse(numbers())

    @app.websocket("/echo", dependencies=[Depends(limit(Policy("echo", 2, 60)))])
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


def client_of(app, address="203.0.113.7"):
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app, client=(address, 1)), base_url="http://shop")


async def test_requests_up_to_the_limit_are_answered_and_then_refused():
    async with client_of(shop()) as client:
        answers = [await client.get("/") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    refused = answers[3]
    assert refused.json() == {
        "type": "urn:upkeeper:rate-limited",
        "title": "Rate limited",
        "status": 429,
        "detail": "Too many requests: the limit is 3 in 60 seconds.",
    }
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["cache-control"] == "no-store"
    assert 0 < int(refused.headers["retry-after"]) <= 61


async def test_every_counted_answer_tells_the_limit():
    async with client_of(shop()) as client:
        answers = [await client.get(path) for path in ("/", "/stream", "/nowhere", "/")]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 429]
    for answer, remaining in zip(answers, (2, 1, 0, 0), strict=True):
        assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60'
        budget, _, reset = answer.headers["ratelimit"].rpartition(";t=")
        assert budget == f'"default";r={remaining}'
        assert 0 < int(reset) <= 60
        assert answer.headers["x-ratelimit-limit"] == "3"
        assert answer.headers["x-ratelimit-remaining"] == str(remaining)
    assert answers[3].headers["ratelimit"].endswith(f";t={min(60, int(answers[3].headers['retry-after']))}")


async def test_a_client_that_waits_as_told_is_admitted():
    brief = Policy("brief", 1, 0.5)
    app = RateLimitMiddleware(
        shop(), limiter=RateLimiter(SharedRedis(""), local_share=1), choose=lambda scope: (brief, "key")
    )
    async with client_of(app) as client:
        async with asyncio.timeout(60):
            while (refused := await client.get("/")).status_code != 429:
                """A busy machine may take longer than the window from one to the next."""
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert (await client.get("/")).status_code == 200


async def test_what_is_exempt_is_not_counted_and_says_nothing():
    async with client_of(shop()) as client:
        for _ in range(10):
            answer = await client.get("/healthz")
            assert answer.status_code == 200
            assert not [name for name in answer.headers if "ratelimit" in name]


async def test_clients_are_counted_apart():
    app = shop()
    for address in ("203.0.113.7", "203.0.113.8"):
        async with client_of(app, address) as client:
            assert [(await client.get("/")).status_code for _ in range(4)] == [200, 200, 200, 429]


async def test_a_route_can_have_a_limit_of_its_own_besides():
    async with client_of(shop()) as client:
        paid, refused, home = [await client.request(*what) for what in (("POST", "/checkout"),) * 2 + (("GET", "/"),)]
    assert (paid.status_code, refused.status_code, home.status_code) == (200, 429, 200)
    assert refused.json()["detail"] == "Too many requests: the limit is 1 in 3600 seconds."
    assert 3500 < int(refused.headers["retry-after"]) <= 3604
    for answer, remaining in ((paid, 2), (refused, 1)):
        assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60, "checkout";q=1;w=3600'
        assert re.fullmatch(rf'"default";r={remaining};t=\d+, "checkout";r=0;t=\d+', answer.headers["ratelimit"])
        assert answer.headers["x-ratelimit-limit"] == "1", "the tightest"
        assert answer.headers["x-ratelimit-remaining"] == "0"
    assert home.headers["ratelimit-policy"] == '"default";q=3;w=60'


async def test_of_limits_that_are_as_tight_the_one_of_the_route_is_told():
    async with client_of(shop()) as client:
        for _ in range(2):
            await client.get("/")
        paid = await client.post("/checkout")
    assert re.fullmatch(r'"default";r=0;t=\d+, "checkout";r=0;t=\d+', paid.headers["ratelimit"])
    assert (paid.headers["x-ratelimit-limit"], paid.headers["x-ratelimit-remaining"]) == ("1", "0")


async def test_the_tightest_limit_is_not_always_the_last():
    async with client_of(shop()) as client:
        answer = await client.get("/catalogue")
    assert re.fullmatch(r'"default";r=2;t=\d+, "catalogue";r=999;t=\d+', answer.headers["ratelimit"])
    assert answer.headers["x-ratelimit-limit"] == "3"


async def test_the_fields_are_structured_as_the_draft_says():
    async with client_of(shop()) as client:
        answer = await client.post("/checkout")
    assert FIELD.fullmatch(answer.headers["ratelimit-policy"])
    assert FIELD.fullmatch(answer.headers["ratelimit"])


async def test_a_window_of_less_than_a_second_is_told_as_one():
    assert Policy("brief", 1, 0.2).header == b'"brief";q=1;w=1'


def only_a_route_with_a_limit():
    app = FastAPI()

    @app.get("/", dependencies=[Depends(limit(CHECKOUT))])
    async def home() -> str:
        return "ok"

    return app


async def test_a_route_with_a_limit_needs_the_middleware():
    async with client_of(only_a_route_with_a_limit()) as client:
        with pytest.raises(RuntimeError, match="RateLimitMiddleware"):
            await client.get("/")


async def test_a_route_with_a_limit_lets_pass_what_is_exempt():
    limiter = RateLimiter(SharedRedis(""))
    async with client_of(
        RateLimitMiddleware(only_a_route_with_a_limit(), limiter=limiter, choose=lambda scope: None)
    ) as client:
        assert [(await client.get("/")).status_code for _ in range(3)] == [200, 200, 200]


async def test_concurrent_requests_through_redis_get_the_limit_exactly(shared):
    app = shop(RateLimiter(shared))
    async with client_of(app) as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(40)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 37


async def test_without_redis_the_answers_are_never_500(shared, redis_server):
    redis_server.kill()
    async with client_of(shop(RateLimiter(shared))) as client:
        answers = await asyncio.gather(*(client.get("/") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [429] * 9
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=1;w=60'}, "the local share"

    async with client_of(shop(RateLimiter(shared, on_outage="closed"))) as client:
        closed = await client.post("/checkout")
        assert (await client.get("/healthz")).status_code == 200
    assert closed.status_code == 503
    assert closed.json()["detail"] == "Requests cannot be counted at the moment."
    assert closed.headers["retry-after"] == "1"
    assert "ratelimit" not in closed.headers


async def test_the_messages_of_the_application_are_left_as_they_are():
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}

    async def application(scope, receive, send):
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    sent = []

    async def send(message):
        sent.append(message)

    app = RateLimitMiddleware(application, limiter=RateLimiter(SharedRedis("")), choose=lambda scope: (POLICY, "key"))
    await app({"type": "http"}, None, send)
    assert start["headers"] == [(b"a", b"b")]
    assert len(sent[0]["headers"]) == 5


async def test_the_lifespan_passes():
    seen = []

    async def application(scope, receive, send):
        seen.append(scope["type"])

    await RateLimitMiddleware(application, limiter=RateLimiter(SharedRedis("")), choose=choose)(
        {"type": "lifespan"}, None, None
    )
    assert seen == ["lifespan"]


async def test_a_websocket_is_closed_before_it_is_accepted_where_the_server_cannot_answer():
    received, sent = [{"type": "websocket.connect"}], []

    async def receive():
        return received.pop()

    async def send(message):
        sent.append(message)

    limiter, policy = RateLimiter(SharedRedis("")), Policy("strict", 1, 60)
    await limiter.hit(policy, "key")
    app = RateLimitMiddleware(shop(), limiter=limiter, choose=lambda scope: (policy, "key"))
    await app({"type": "websocket", "path": "/echo", "headers": []}, receive, send)
    assert received == [], "the server waits for its first message to be taken"
    reason = "Too many requests: the limit is 1 in 60 seconds."
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": reason}]


@pytest.fixture
async def server():
    """The shop under Uvicorn, on a free port of the loopback interface."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        running = uvicorn.Server(uvicorn.Config(shop(), log_config=None))
        task = asyncio.create_task(running.serve([listening]))
        async with asyncio.timeout(60):
            while not running.started:
                await asyncio.sleep(0.01)
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        running.should_exit = True
        await task


async def test_websocket_handshakes_are_counted_and_refused_with_429_and_no_error(server, caplog):
    for remaining in (1, 0):
        async with websockets.connect(f"{server}/echo") as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            assert f'"echo";r={remaining}' in websocket.response.headers["ratelimit"]
    for path, policy in (("echo", "echo"), ("echo", "default")):  # first the route's limit, then that of the middleware
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"{server}/{path}")
        answer = refused.value.response
        assert answer.status_code == 429
        assert f'"{policy}";r=0' in answer.headers["ratelimit"]
        assert int(answer.headers["retry-after"]) > 0
        assert b"Too many requests" in answer.body
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (("203.0.113.7", 50000), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 50000), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::1", 50000), "2001:db8:1:2::/64"),
        (("2001:db8:1:3:ffff::1", 50000), "2001:db8:1:3::/64"),
        (("fe80::1%eth0", 50000), "fe80::/64"),
        (("::ffff:203.0.113.7", 50000), "203.0.113.7"),
        (("no:address", 50000), "no:address"),
        (("testclient", 50000), "testclient"),
        (None, "unknown"),
    ],
)
def test_a_client_is_its_address_or_its_network(client, key):
    assert client_key({"type": "http", "client": client}) == key


def test_the_seconds_of_a_limit_never_exceed_its_window():
    limits = RequestLimits(RateLimiter(SharedRedis("")), "key")
    limits.decisions = (Decision(Policy("default", 3, 60), False, 0, 60.06),)
    assert dict(limits.headers())[b"ratelimit"] == b'"default";r=0;t=60'


async def test_a_websocket_that_is_refused_after_it_was_accepted_is_closed():
    app = FastAPI(exception_handlers={Refusal: answer_refusal})

    @app.websocket("/late")
    async def late(websocket: WebSocket) -> None:
        await websocket.accept()
        raise Refusal("not now")

    with TestClient(app).websocket_connect("/late") as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    assert (closed.value.code, closed.value.reason) == (1008, "not now")


@pytest.mark.parametrize(("seconds", "told"), [(0, "1"), (0.2, "1"), (1.2, "2"), (3, "3")])
def test_retry_after_is_never_early_and_at_least_a_second(seconds, told):
    assert refusal_headers(Refusal("no", retry_after=seconds))["Retry-After"] == told


async def test_one_switch_answers_all_refusals_as_fastapi_does():
    use_problem_details(False)
    async with client_of(DeadlineMiddleware(shop(), default=0.01)) as client:
        late = await client.get("/never")
        answers = [await client.get("/") for _ in range(4)]
    for answer in (late, answers[-1]):
        assert answer.headers["content-type"] == "application/json"
        assert answer.json().keys() == {"detail"}
    assert (late.status_code, answers[-1].status_code) == (504, 429)
