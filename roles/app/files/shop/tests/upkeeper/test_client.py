"""ServiceClient against a server that misbehaves in earnest, with a breaker in a real Redis."""

import asyncio
import contextlib
import gzip
import time

import httpx2
import pytest
from upkeeper import context, deadline
from upkeeper.bulkhead import Bulkhead, BulkheadFull
from upkeeper.circuit_breaker import BreakerPolicy, CircuitBreaker, CircuitOpen, State
from upkeeper.client import DependencyFailed, ServiceClient, Timeouts, http_client
from upkeeper.retry import RetryBudget, RetryPolicy

pytestmark = pytest.mark.anyio


class Server:
    """HTTP/1.1 on loopback; each request is answered as the next entry of `script` says, or with 200.

    An entry is a status, (status, headers), (status, headers, body), or one of "stall", "drop" (no answer), "half" (of
    a body), "drip" (a byte now and then), "noise" (not HTTP) and "garbled" (a body that is not what it claims to be).
    """

    def __init__(self):
        self.script = []
        self.requests = []  # (method, path, headers, body)
        self.left = 0  # requests whose client went away while they stalled
        self.keep_alive = 60  # seconds without a request after which one meets the close of its connection

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader, writer):
        idle = time.monotonic()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if time.monotonic() - idle > self.keep_alive:
            return False
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((*first.split(" ")[:2], headers, body))
        step = self.script.pop(0) if self.script else 200
        match step:
            case "stall":
                self.left += await reader.read(1) == b""
                return False
            case "drop":
                return False
            case "noise":
                writer.write(b"220 mail.example ready\r\n\r\n")
            case "half":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            case "garbled":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\nwhat")
            case "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
                while not reader.at_eof():
                    writer.write(b".")
                    await writer.drain()
                    await asyncio.sleep(0.02)
            case _:
                status, more, body = (*step, b"{}")[:3] if isinstance(step, tuple) else (step, {}, b"{}")
                lines = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                writer.write(f"HTTP/1.1 {status} Any\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                return True
        await writer.drain()
        return False


@pytest.fixture
async def server():
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def events():
    return []


@pytest.fixture
async def make(server, shared, events):
    """Make a client of the server; its parts can be replaced."""
    async with http_client() as http:

        def make(policy=BreakerPolicy(failures=100), timeouts=Timeouts(), **parts):  # noqa: B008 - frozen
            parts = {
                "http": http,
                "base_url": server.url + "/v1/",
                "breaker": CircuitBreaker("bank", policy, shared),
                "bulkhead": Bulkhead("bank", 50),
                "retry": RetryPolicy(attempts=3, base_delay=0.01, max_delay=2),
                "listeners": [lambda event: events.append((event.outcome, event.attempt))],
                **parts,
            }
            return ServiceClient("bank", timeouts=timeouts, **parts)

        yield make


async def refused(call):
    """Await a call that has to fail, and return its failure."""
    async with asyncio.timeout(20):
        with pytest.raises(DependencyFailed) as raised:
            await call
    return raised.value


async def test_an_answer_is_returned_with_its_body(make, server, events):
    response = await make().get("/orders/1", params={"full": "yes"})
    assert (response.status_code, response.json()) == (200, {})
    assert server.requests[0][:2] == ("GET", "/v1/orders/1?full=yes")
    assert events == [("answered", 1)]


@pytest.mark.parametrize("status", [200, 302, 400, 404, 409, 500, 501])
async def test_what_is_no_passing_trouble_is_returned_at_once(make, server, status):
    server.script = [status]
    assert (await make().get("/orders/1")).status_code == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("trouble", [429, 502, 503, 504, "drop", "half", "noise", "stall", "drip"])
async def test_passing_trouble_is_retried(make, server, trouble):
    server.script = [trouble]
    client = make(timeouts=Timeouts(attempt=2 if trouble in ("stall", "drip") else 30))
    async with asyncio.timeout(60):
        answer = await client.get("/orders/1")
    assert (answer.status_code, answer.extensions["attempts"]) == (200, 2)
    assert len(server.requests) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "get"])
async def test_idempotent_methods_are_retried(make, server, method):
    server.script = [503]
    assert (await make().request(method, "/orders/1")).status_code == 200


@pytest.mark.parametrize("trouble", [503, "drop"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_others_are_sent_once(make, server, method, trouble):
    server.script = [trouble]
    await refused(make().request(method, "/charges", json={"amount": 5}))
    assert len(server.requests) == 1


async def test_with_an_idempotency_key_a_post_is_retried_as_it_was(make, server):
    server.script = ["drop", 503]
    response = await make().post("/charges", json={"amount": 5}, idempotency_key="abc")
    assert response.status_code == 200
    assert [(headers["idempotency-key"], body) for _, _, headers, body in server.requests] == [
        ("abc", b'{"amount":5}')
    ] * 3


async def test_a_streamed_body_is_sent_once(make, server):
    async def body():
        yield b"once"

    server.script = [503]
    await refused(make().request("PUT", "/file", content=body(), headers={"Content-Length": "4"}))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("trouble", "status", "sentence"),
    [
        ("stall", 504, "bank did not answer in time."),
        ("drip", 504, "bank did not answer in time."),
        (504, 504, "bank answered 504."),
        (503, 503, "bank is busy."),
        (429, 503, "bank is busy."),
        (502, 502, "bank answered 502."),
        ("drop", 502, "The connection to bank broke."),
        ("half", 502, "The connection to bank broke."),
        ("noise", 502, "The connection to bank broke."),
        ("garbled", 502, "The connection to bank broke."),
    ],
)
async def test_trouble_that_lasts_is_told_in_one_sentence(make, server, trouble, status, sentence):
    server.script = [trouble] * 3
    patience = Timeouts(attempt=0.2 if trouble in ("stall", "drip") else 30)
    failure = await refused(make(timeouts=patience).get("/orders/1"))
    assert (failure.status, failure.detail) == (status, sentence)
    assert isinstance(failure.__cause__, Exception)


async def test_nobody_at_home_is_a_broken_connection(make, server, events):
    client = make()
    await server.stop()
    failure = await refused(client.get("/orders/1"))
    assert failure.status == 502
    assert isinstance(failure.__cause__, httpx2.ConnectError)
    assert events == [("broken", 1), ("broken", 2), ("broken", 3)]


async def test_a_server_that_accepts_and_says_nothing_is_left(make, server):
    server.script = ["stall"]
    await refused(make(timeouts=Timeouts(read=0.1, attempt=5), retry=RetryPolicy(attempts=1)).get("/orders/1"))
    async with asyncio.timeout(60):
        while not server.left:
            await asyncio.sleep(0.01)


async def test_retry_after_is_honoured(make, server):
    server.script = [(503, {"Retry-After": "1"})]
    started = time.monotonic()
    assert (await make().get("/orders/1")).status_code == 200
    assert time.monotonic() - started >= 1


async def test_retry_after_beyond_the_deadline_is_passed_on_at_once(make, server):
    server.script = [(503, {"Retry-After": "60"})]
    client = make(retry=RetryPolicy(max_delay=100))
    started = time.monotonic()
    async with deadline.timeout(30):
        failure = await refused(client.get("/orders/1"))
    assert (failure.status, failure.retry_after, len(server.requests)) == (503, 60, 1)
    assert time.monotonic() - started < 10


async def test_a_failing_dependency_gets_no_more_extra_calls_than_the_budget(make, server):
    server.script = [503] * 1000
    client = make(budget=RetryBudget(0.2, reserve=5))
    for _ in range(50):
        await refused(client.get("/orders/1"))
    assert 60 <= len(server.requests) <= 65


async def test_an_open_breaker_means_no_call_and_no_retry(make, server, events):
    server.script = ["drop"] * 2
    client = make(BreakerPolicy(failures=2, recovery_time=30))
    failure = await refused(client.get("/orders/1"))
    assert (failure.status, failure.detail) == (503, "bank cannot be called at the moment.")
    assert isinstance(failure.__cause__, CircuitOpen)
    assert 25 < failure.retry_after <= 30
    assert len(server.requests) == 2
    await refused(client.get("/orders/1"))
    assert len(server.requests) == 2
    assert events == [("broken", 1), ("broken", 2), ("open", 3), ("open", 1)]


@pytest.mark.parametrize(
    ("trouble", "opens"),
    [(400, False), (404, False), (429, False), (500, True), (503, True), ("drop", True), ("stall", True)],
)
async def test_what_counts_as_a_failure_of_the_dependency(make, server, trouble, opens):
    server.script = [trouble]
    # Long enough for an answer on a busy machine, where there is one.
    patience = Timeouts(attempt=0.2 if trouble == "stall" else 30)
    client = make(BreakerPolicy(failures=1), patience, retry=RetryPolicy(attempts=1))
    with contextlib.suppress(DependencyFailed):
        await client.get("/orders/1")
    assert (await client.breaker.state() is State.OPEN) == opens


async def test_a_caller_in_a_hurry_is_no_failure_of_the_dependency(make, server):
    server.script = ["stall"] * 2
    client = make(BreakerPolicy(failures=1))
    with pytest.raises(deadline.DeadlineExceeded):
        async with deadline.timeout(2):
            await client.get("/orders/1")
    async with deadline.timeout(2):
        apart = asyncio.create_task(client.get("/orders/1"))  # has the deadline, and no part in the cancellation
    assert (await refused(apart)).status == 504
    assert len(server.requests) == 2
    assert await client.breaker.state() is State.CLOSED


async def test_a_request_that_cannot_be_sent_is_no_failure_of_the_dependency(make):
    client = make(BreakerPolicy(failures=1))
    with pytest.raises(httpx2.LocalProtocolError):
        await client.get("/orders/1", headers={"X-Note": "two\r\nlines"})
    assert await client.breaker.state() is State.CLOSED


async def test_a_pool_that_others_have_filled_is_no_failure_of_the_dependency(make, server):
    server.script = ["stall"]
    async with httpx2.AsyncClient(trust_env=False, limits=httpx2.Limits(max_connections=1)) as http:
        client = make(
            BreakerPolicy(failures=1), Timeouts(pool=0.05), http=http, retry=RetryPolicy(attempts=2, base_delay=0)
        )
        other = asyncio.create_task(http.get(server.url, timeout=60))
        while not server.requests:
            await asyncio.sleep(0.01)
        failure = await refused(client.get("/orders/1"))
        assert (failure.status, failure.retry_after, failure.may_have_arrived) == (503, 1, False)
        assert await client.breaker.state() is State.CLOSED
        other.cancel()
        await asyncio.wait([other])


async def test_no_request_meets_a_server_that_closes_idle_connections(make, server, events):
    server.keep_alive = 1.5  # less than what Gunicorn (2 s) and Uvicorn (5 s) wait
    client = make(retry=RetryPolicy(attempts=1))
    await client.get("/orders/1")
    await asyncio.sleep(1.6)
    await client.get("/orders/2")
    assert events == [("answered", 1)] * 2


async def test_a_full_bulkhead_refuses_at_once(make, server, events):
    server.script = ["stall"]
    client = make(bulkhead=Bulkhead("bank", 1))
    slow = asyncio.create_task(client.get("/orders/1"))
    while not server.requests:
        await asyncio.sleep(0.01)
    failure = await refused(client.get("/orders/2"))
    assert (failure.status, failure.retry_after, len(server.requests)) == (503, 1, 1)
    assert isinstance(failure.__cause__, BulkheadFull)
    slow.cancel()
    await asyncio.wait([slow])
    assert (await client.get("/orders/3")).status_code == 200
    assert events == [("full", 1), ("cancelled", 1), ("answered", 1)]


async def test_an_open_breaker_refuses_at_once_however_full_the_bulkhead_is(make, server, shared):
    breaker = CircuitBreaker("bank", BreakerPolicy(failures=1), shared)
    client = make(breaker=breaker, bulkhead=Bulkhead("bank", 1, wait=60))
    async with client.bulkhead:
        with contextlib.suppress(ConnectionError):
            async with breaker:
                raise ConnectionError
        failure = await refused(client.get("/orders/1"))
    assert isinstance(failure.__cause__, CircuitOpen)


async def test_the_place_in_the_bulkhead_is_free_during_a_pause(make, server):
    server.script = [(503, {"Retry-After": "1"})]
    client = make(bulkhead=Bulkhead("bank", 1))
    first = asyncio.create_task(client.get("/orders/1"))
    while not server.requests:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        while client.bulkhead.in_use:
            await asyncio.sleep(0.01)
        assert (await client.get("/orders/2")).status_code == 200
        assert not first.done()
        assert (await first).status_code == 200


@pytest.mark.parametrize(
    ("trouble", "arrived"), [("drop", True), ("stall", True), (503, True), (502, True), (429, False), ("nobody", False)]
)
async def test_a_failure_says_whether_any_try_may_have_arrived(make, server, trouble, arrived):
    """The last try is refused by the breaker that the first one opened, and hides nothing of it."""
    server.script = [trouble] * 5
    client = make(BreakerPolicy(failures=1, recovery_time=60), Timeouts(attempt=0.3 if trouble == "stall" else 30))
    if trouble == "nobody":
        await server.stop()
    failure = await refused(client.post("/charges", json={}, idempotency_key="key"))
    assert failure.may_have_arrived == arrived
    if trouble != 429:
        assert isinstance(failure.__cause__, CircuitOpen)
        assert not (await refused(client.post("/charges", json={}, idempotency_key="other"))).may_have_arrived


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(make, server, events):
    bomb = gzip.compress(b"0" * 2_000_000)
    server.script = [(200, {}, b"1" * 1001), (200, {"Content-Encoding": "gzip"}, bomb), (200, {}, b"1" * 1000)]
    client = make(BreakerPolicy(failures=2), max_answer=1000)
    for _ in range(2):
        failure = await refused(client.get("/orders"))
        assert (failure.status, failure.detail) == (502, "bank answered more than 1000 bytes.")
    assert events == [("bad_answer", 1)] * 2
    assert await client.breaker.state() is State.OPEN


async def test_a_compressed_answer_is_read(make, server):
    server.script = [(200, {"Content-Encoding": "gzip", "X-Other": "kept"}, gzip.compress(b'{"a": 1}'))]
    answer = await make().get("/orders")
    assert (answer.json(), answer.headers["x-other"], answer.request.method) == ({"a": 1}, "kept", "GET")
    assert answer.elapsed.total_seconds() > 0


async def test_the_next_service_learns_what_time_is_left_and_the_request_id(make, server):
    client = make(timeouts=Timeouts(attempt=5))
    told = []

    async def app(scope, receive, send):
        await client.get("/plain")
        async with deadline.timeout(2):
            await client.get("/hurried")
        told.append(context.request_id())

    async def ignore(message):
        pass

    trace = "0af7651916cd43dd8448eb211c80319c"
    asked = {"type": "http", "headers": [(b"traceparent", f"00-{trace}-b7ad6b7169203331-01".encode())]}
    await context.RequestContextMiddleware(app)(asked, ignore, ignore)
    plain, hurried = (headers for _, _, headers, _ in server.requests)
    assert 4000 < int(plain["x-request-timeout-ms"]) <= 5000
    assert 0 < int(hurried["x-request-timeout-ms"]) <= 2000
    assert plain["x-request-id"] == hurried["x-request-id"] == told[0]
    assert plain["traceparent"][:36] == hurried["traceparent"][:36] == f"00-{trace}-"
    assert plain["traceparent"] != hurried["traceparent"]


async def test_outside_a_request_there_is_no_request_id(make, server):
    await make().get("/orders/1")
    assert "x-request-id" not in server.requests[0][2]


async def test_a_failing_listener_harms_no_call(make, caplog):
    client = make(listeners=[lambda event: 1 / 0])
    assert (await client.get("/orders/1")).status_code == 200
    assert "A listener of the client bank failed" in caplog.text


async def test_a_path_cannot_leave_for_another_host(make, server):
    await make().get("//elsewhere.example/orders")
    assert server.requests[0][1] == "/v1/elsewhere.example/orders"


async def test_a_probe_must_be_allowed_to_last_as_long_as_a_try(make):
    with pytest.raises(ValueError, match="probe_timeout"):
        make(BreakerPolicy(probe_timeout=10), Timeouts(attempt=12))
