"""Deadlines: what a client sees, that the work really ends, and how steps share the time of their request."""

import asyncio
import logging
import threading
import time

import httpx2
import pytest
import uvloop
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from serving import serve
from upkeeper.deadline import HEADER, DeadlineExceeded, DeadlineMiddleware, remaining, timeout, wait_for
from upkeeper.errors import Refusal, answer_refusal

pytestmark = pytest.mark.anyio

TOO_LATE = {
    "type": "urn:upkeeper:deadline-exceeded",
    "title": "Deadline exceeded",
    "status": 504,
    "detail": "The answer took longer than this request may take.",
}


class Service:
    """An application that takes its time, and remembers what became of its work."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.release_thread = threading.Event()
        self.thread_ended = threading.Event()
        self.background_ended = threading.Event()
        self.left_in_background = "nobody asked"
        api = FastAPI()
        api.add_exception_handler(Refusal, answer_refusal)
        api.get("/slow")(self.slow)
        api.get("/thread")(self.thread)
        api.get("/swallow")(self.swallow)
        api.get("/left")(self.left)
        api.get("/step")(self.step)
        api.get("/background")(self.background)
        api.get("/events")(lambda: StreamingResponse(self.ticks(), media_type="text/event-stream"))
        api.get("/report")(lambda: StreamingResponse(self.ticks(), media_type="text/csv"))
        api.get("/export")(lambda: StreamingResponse(self.rows(), media_type="text/csv"))
        api.get("/progress")(lambda: StreamingResponse(self.rows(), headers={"X-Accel-Buffering": "no"}))
        api.get("/query")(self.query)
        api.get("/sized")(lambda: StreamingResponse(self.ticks(), headers={"Content-Length": "100000"}))
        self.app = DeadlineMiddleware(api, default=0.3, routes={"/left": 10})

    async def slow(self):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def thread(self):
        self.release_thread.wait(30)
        self.thread_ended.set()

    async def swallow(self):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return "none of your business"

    async def left(self):
        return remaining()

    async def step(self):
        async with timeout(0.05):
            await asyncio.sleep(30)

    async def rows(self):
        await asyncio.sleep(30)
        yield "id,total\n"

    async def query(self):
        return await wait_for(asyncio.sleep(30, "rows"), 0.05)

    async def background(self, tasks: BackgroundTasks):
        async def go_on():
            await asyncio.sleep(0.5)
            self.left_in_background = remaining()
            self.background_ended.set()

        tasks.add_task(go_on)
        return "answered"

    async def ticks(self):
        try:
            yield "data: 1\n\n"
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.fixture(scope="module")
def server():
    service = Service()
    with serve(service.app) as address, httpx2.Client(base_url=address, timeout=10) as client:
        service.client = client
        yield service


@pytest.fixture
def service(server):
    server.cancelled.clear()
    return server


def test_before_the_first_byte_the_answer_is_504_and_the_work_is_cancelled(service):
    response = service.client.get("/slow")
    assert (response.status_code, response.json()) == (504, TOO_LATE)
    assert response.headers["Cache-Control"] == "no-store"
    assert service.cancelled.wait(5)


def test_the_connection_serves_on_after_a_504(service):
    service.client.get("/slow")
    assert service.client.get("/left").status_code == 200


def test_one_line_without_traceback_says_so(service, caplog):
    service.client.get("/slow")
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == "GET '/slow' was ended by its deadline of 0.3 s, before the first byte of the answer"
    assert record.exc_info is None


def test_an_event_stream_ends_as_if_it_were_complete(service):
    response = service.client.get("/events")
    assert (response.status_code, response.text) == (200, "data: 1\n\n")
    assert service.cancelled.wait(5)


@pytest.mark.parametrize("path", ["/report", "/sized"])
def test_any_other_body_is_broken_off_so_that_nobody_takes_it_for_the_whole(service, path):
    with pytest.raises(httpx2.RemoteProtocolError):
        service.client.get(path)
    assert service.cancelled.wait(5)


def test_what_runs_after_the_answer_has_no_deadline(service):
    assert service.client.get("/background").text == '"answered"'
    assert service.background_ended.wait(5)
    assert service.left_in_background is None


def test_a_thread_cannot_be_cancelled(service):
    """It is what the documentation says: the client gets its 504, the thread works on."""
    response = service.client.get("/thread")
    assert response.status_code == 504
    service.release_thread.set()
    assert service.thread_ended.wait(5)


def test_who_swallows_the_cancellation_answers_late(service):
    response = service.client.get("/swallow")
    assert (response.status_code, response.text) == (200, '"none of your business"')


def test_a_step_that_takes_too_long_is_answered_as_a_refusal(service):
    response = service.client.get("/step")
    assert (response.status_code, response.json()["detail"]) == (504, "A step took longer than its 0.05 s.")


@pytest.mark.parametrize(("sent", "least", "most"), [("4000", 2, 4), ("9999999", 8, 10), ("0", 0, 0)])
def test_the_caller_can_only_shorten(service, sent, least, most):
    response = service.client.get("/left", headers={HEADER: sent})
    assert least <= response.json() <= most


@pytest.mark.parametrize("sent", ["", "-5", "0.5", "1e3", "soon", "٣", "1" * 40])
def test_a_header_that_is_not_whole_milliseconds_counts_for_nothing(service, sent):
    response = service.client.get("/left", headers={HEADER: sent.encode()})
    assert 8 <= response.json() <= 10


def client_of(app):
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test")


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        ("/", 1000),
        ("/api", 2000),
        ("/api/orders", 2000),
        ("/api/slow", 3000),
        ("/api/slow/", 3000),
        ("/api/slow/er", 3000),
        ("/api/slowest", 2000),
        ("/apiary", 1000),
    ],
)
async def test_the_longest_path_above_the_request_counts(path, seconds):
    async def app(scope, receive, send):
        assert seconds - 100 < remaining() <= seconds
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    middleware = DeadlineMiddleware(app, default=1000, routes={"/api": 2000, "/api/slow/": 3000})
    async with client_of(middleware) as client:
        assert (await client.get(path)).status_code == 204


async def test_a_timeout_of_the_applications_own_passes():
    own = TimeoutError("mine")

    async def app(scope, receive, send):
        raise own

    async with client_of(DeadlineMiddleware(app, default=10)) as client:
        with pytest.raises(TimeoutError) as caught:
            await client.get("/")
    assert caught.value is own


async def test_who_swallows_the_cancellation_and_falls_silent_is_answered_for():
    async def app(scope, receive, send):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return

    async with client_of(DeadlineMiddleware(app, default=0.05)) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()) == (504, TOO_LATE)


async def test_cancellation_from_outside_passes():
    begun = asyncio.Event()

    async def app(scope, receive, send):
        begun.set()
        await asyncio.sleep(30)

    async with client_of(DeadlineMiddleware(app, default=20)) as client:
        request = asyncio.create_task(client.get("/"))
        await begun.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request


async def test_a_client_that_does_not_read_holds_nothing_after_the_deadline():
    """Its connection takes no more: neither the stream nor the last chunk may wait for it for ever."""
    stuck = asyncio.Event()

    async def send(message):
        if message["type"] == "http.response.body":
            await stuck.wait()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    async with asyncio.timeout(10):
        await DeadlineMiddleware(app, default=0.05)(scope, None, send)


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_websockets_and_lifespan_are_not_bounded(kind):
    left = []

    async def app(scope, receive, send):
        left.append(remaining())

    await DeadlineMiddleware(app, default=0.001)({"type": kind}, None, None)
    assert left == [None]


async def test_without_a_deadline_a_step_has_its_own_bound():
    assert remaining() is None
    async with timeout(60):
        assert 50 < remaining() <= 60
    assert remaining() is None


async def test_a_step_says_that_its_own_time_is_over():
    with pytest.raises(DeadlineExceeded, match=r"A step took longer than its 0\.01 s") as caught:
        async with timeout(0.01):
            await asyncio.sleep(30)
    assert not caught.value.of_request
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.status == 504


async def test_the_inner_step_ends_without_the_outer_one():
    async with timeout(60):
        with pytest.raises(DeadlineExceeded) as caught:
            async with timeout(0.01):
                await asyncio.sleep(30)
        assert remaining() > 50
    assert not caught.value.of_request


async def test_the_outer_step_ends_the_inner_one():
    seen_inside = []

    async def inner():
        try:
            async with timeout(60):
                assert remaining() <= 0.02
                await asyncio.sleep(30)
        except BaseException as error:
            seen_inside.append(type(error))
            raise

    with pytest.raises(DeadlineExceeded, match=r"its 0\.02 s") as caught:
        async with timeout(0.02):
            await inner()
    assert not caught.value.of_request
    assert seen_inside == [asyncio.CancelledError], "the inner step did not fail, it was cancelled"


def test_the_outer_step_goes_first_where_a_loop_rounds_to_milliseconds():
    """uvloop does: 10.6 ms become 11, and what is left of them a moment later becomes 10."""
    seen_inside = []

    async def inner():
        try:
            async with timeout(60):
                await asyncio.sleep(30)
        except BaseException as error:
            seen_inside.append(type(error))
            raise

    async def outer():
        async with timeout(0.0106):
            time.sleep(0.0002)
            await inner()

    async def often():
        for _ in range(20):
            with pytest.raises(DeadlineExceeded, match=r"its 0\.0106 s"):
                await outer()

    uvloop.run(often())
    assert seen_inside == [asyncio.CancelledError] * 20


async def test_a_task_of_its_own_is_bounded_by_the_deadline_it_was_born_with():
    async def step():
        async with timeout(60):
            await asyncio.sleep(30)

    async with timeout(0.02):
        task = asyncio.create_task(step())
        await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded) as caught:
        await task
    assert caught.value.of_request


async def test_a_timeout_raised_within_a_step_passes():
    with pytest.raises(TimeoutError, match="mine") as caught:
        async with timeout(60):
            raise TimeoutError("mine")
    assert not isinstance(caught.value, DeadlineExceeded)


async def test_any_coroutine_can_be_bounded_by_decoration():
    @timeout(0.01)
    async def query():
        await asyncio.sleep(30)

    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            await query()


async def test_what_is_left_is_known_in_a_thread():
    async with timeout(60):
        assert 50 < await asyncio.to_thread(remaining) <= 60


def test_a_stream_that_has_sent_nothing_yet_gets_a_504(service):
    response = service.client.get("/export")
    assert (response.status_code, response.json()) == (504, TOO_LATE)


def test_a_route_can_have_its_start_sent_at_once(service):
    with service.client.stream("GET", "/progress") as response:
        assert response.status_code == 200
        with pytest.raises(httpx2.RemoteProtocolError):
            response.read()


def test_one_call_can_be_bounded_as_with_asyncio(service):
    response = service.client.get("/query")
    assert (response.status_code, response.json()["detail"]) == (504, "A step took longer than its 0.05 s.")


async def test_a_start_without_a_body_is_sent_when_the_application_returns():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def send(message):
        sent.append(message["type"])

    await DeadlineMiddleware(app, default=10)({"type": "http", "method": "GET", "path": "/", "headers": []}, None, send)
    assert sent == ["http.response.start"]


async def test_a_deadline_of_the_callers_own_leaves_no_timer_behind(monkeypatch):
    loop, timers = asyncio.get_running_loop(), []
    call_later = loop.call_later

    def watched(*arguments):
        timers.append(call_later(*arguments))
        return timers[-1]

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})

    async def send(message):
        pass

    monkeypatch.setattr(loop, "call_later", watched)
    hurried = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-timeout-ms", b"60000")]}
    await DeadlineMiddleware(app, default=3600)(hurried, None, send)
    assert [timer.cancelled() for timer in timers] == [True]


@pytest.mark.parametrize(
    ("header", "sent_at_once"),
    [((b"x-accel-buffering", b"no"), True), ((b"x-accel-buffering", b"yes"), False), ((b"pragma", b"no"), False)],
)
async def test_a_start_is_sent_at_once_for_one_header_alone(header, sent_at_once):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [header]})
        assert (len(sent) == 1) is sent_at_once

    async def send(message):
        sent.append(message["type"])

    await DeadlineMiddleware(app, default=10)({"type": "http", "method": "GET", "path": "/", "headers": []}, None, send)
    assert sent == ["http.response.start"]


@pytest.mark.parametrize(("outer", "inner", "least", "most"), [(5, 50, 0, 5), (50, 5, 0, 5)])
async def test_of_nested_deadlines_the_smaller_one_counts(outer, inner, least, most):
    left = []

    async def app(scope, receive, send):
        left.append(remaining())

    nested = DeadlineMiddleware(DeadlineMiddleware(app, default=inner), default=outer)
    await nested({"type": "http", "method": "GET", "path": "/", "headers": []}, None, None)
    assert least < left[0] <= most
