"""All middleware together, around a FastAPI application under a real Uvicorn: nothing of what works without is lost."""

import asyncio
import contextlib
import hashlib
import json
import logging
import socket
import threading
import time

import httpx2
import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from serving import serve
from test_metrics import Change, value
from upkeeper.context import HEADER, RequestContextMiddleware, request_id
from upkeeper.deadline import DeadlineMiddleware, remaining
from upkeeper.errors import Refusal, answer_refusal
from upkeeper.limiter import RateLimiter
from upkeeper.metrics import MetricsMiddleware
from upkeeper.rate_limit import Policy, RateLimitMiddleware
from upkeeper.shared import SharedRedis
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

CLIENTS = Policy("clients", 10_000, 60)
SCARCE = Policy("scarce", 1, 60)


class Service:
    """An application with something of everything, and what became of it."""

    def __init__(self):
        self.lifespan = []
        self.go_on = threading.Event()
        self.background_id = None
        self.stream_ended = threading.Event()
        self.socket_ended = threading.Event()
        self.received = 0

        @contextlib.asynccontextmanager
        async def lifespan(_app):
            self.lifespan.append(("start", request_id(), remaining()))
            yield {"pool": "a pool"}
            self.lifespan.append(("stop", request_id(), remaining()))

        api = FastAPI(lifespan=lifespan)
        api.add_exception_handler(Refusal, answer_refusal)
        for path in ("/state", "/stream", "/endless", "/background", "/missing", "/bug", "/bug-in-stream", "/scarce"):
            api.get(path)(getattr(self, path.strip("/").replace("-", "_")))
        api.post("/upload")(self.upload)
        api.post("/raw")(self.raw)
        api.websocket("/echo")(self.echo)
        api.websocket("/scarce-socket")(self.echo)

        def choose(scope):
            return (SCARCE, scope["path"]) if scope["path"].startswith("/scarce") else (CLIENTS, "all")

        limiter = RateLimiter(SharedRedis(""), local_share=1.0)
        app = RateLimitMiddleware(api, limiter=limiter, choose=choose)
        app = DeadlineMiddleware(app, default=20)
        self.app = RequestContextMiddleware(MetricsMiddleware(app))

    async def state(self, request: Request):
        return [request.state.pool, request_id(), 10 < remaining() <= 20]

    async def stream(self):
        async def numbers():
            for number in range(200):
                yield f"{number}\n"
                if number % 50 == 0:
                    await asyncio.sleep(0.001)

        return StreamingResponse(numbers(), media_type="text/plain")

    async def endless(self):
        async def ticks():
            try:
                while True:
                    yield "tick\n"
                    await asyncio.sleep(0.01)
            finally:
                self.stream_ended.set()

        return StreamingResponse(ticks(), media_type="text/event-stream")

    async def background(self, tasks: BackgroundTasks):
        async def wait():
            while not self.go_on.is_set():
                await asyncio.sleep(0.01)
            self.background_id = request_id()

        tasks.add_task(wait)
        return "answered"

    async def missing(self):
        raise HTTPException(404, "There is nothing here.")

    async def bug(self):
        raise ZeroDivisionError

    async def bug_in_stream(self):
        async def body():
            yield "half of"
            raise ZeroDivisionError

        return StreamingResponse(body())

    async def scarce(self):
        return "one"

    async def upload(self, file: UploadFile):
        return hashlib.sha256(await file.read()).hexdigest()

    async def raw(self, request: Request):
        async for chunk in request.stream():
            self.received += len(chunk)
        return self.received

    async def echo(self, socket: WebSocket):
        await socket.accept()
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect:
            self.socket_ended.set()


def until(true):
    """Wait, for as long as it may take on a busy machine."""
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)


def errors(caplog):
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.fixture(scope="module")
def service():
    service = Service()
    with serve(service.app) as address, httpx2.Client(base_url=address, timeout=20) as client:
        service.client = client
        service.address = address
        yield service
    assert service.lifespan == [("start", "", None), ("stop", "", None)], "the lifespan belongs to no request"


def test_a_request_meets_each_of_them_once(service):
    with Change("http_request_duration_seconds_count", method="GET", route="/state", status="200") as counted:
        response = service.client.get("/state", headers={HEADER: "abc"})
    assert response.json() == ["a pool", "abc", True]
    assert response.headers.get_list(HEADER) == ["abc"]
    assert len(response.headers.get_list("RateLimit")) == 1
    assert counted.by == 1


def test_a_stream_arrives_whole_and_in_order(service):
    response = service.client.get("/stream")
    assert response.text.splitlines() == [str(number) for number in range(200)]
    assert response.headers["Transfer-Encoding"] == "chunked"


def test_a_stream_is_not_held_back_until_it_ends(service):
    service.stream_ended.clear()
    with service.client.stream("GET", "/endless") as response:
        lines = response.iter_lines()
        assert next(lines) == "tick"
        assert not service.stream_ended.is_set()
    assert service.stream_ended.wait(10), "the client left, and the stream went on"


def test_a_background_task_runs_after_the_answer_and_after_it_was_counted(service):
    with Change("http_request_duration_seconds_count", method="GET", route="/background", status="200") as counted:
        response = service.client.get("/background", headers={HEADER: "abc"})
    assert (response.text, counted.by) == ('"answered"', 1)
    assert service.background_id is None
    service.go_on.set()
    until(lambda: service.background_id)
    assert service.background_id == "abc"


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/missing", 404, "There is nothing here."),
        ("GET", "/nowhere", 404, "Not Found"),
        ("DELETE", "/state", 405, "Method Not Allowed"),
    ],
)
def test_errors_are_the_applications_own(service, method, path, status, detail):
    response = service.client.request(method, path, headers={HEADER: "abc"})
    assert (response.status_code, response.json()) == (status, {"detail": detail})
    assert response.headers[HEADER] == "abc"


def test_head_of_a_get_route_and_a_body_it_does_not_take_leave_the_connection_in_order(service):
    service.client.head("/state")
    service.client.request("GET", "/state", content=b"x" * 10_000)
    assert service.client.get("/state").status_code == 200


def test_an_unhandled_exception_is_a_500_and_one_traceback(service, caplog):
    response = service.client.get("/bug", headers={HEADER: "abc"})
    assert (response.status_code, response.headers[HEADER]) == (500, "abc")
    until(lambda: errors(caplog))
    [record] = errors(caplog)
    assert record.name == "uvicorn.error"
    assert record.exc_info[0] is ZeroDivisionError


def test_an_exception_in_a_stream_breaks_it_off(service):
    with pytest.raises(httpx2.RemoteProtocolError):
        service.client.get("/bug-in-stream")


def test_a_refusal_is_answered_with_its_headers(service):
    assert service.client.get("/scarce").status_code == 200
    response = service.client.get("/scarce", headers={HEADER: "abc"})
    assert response.status_code == 429
    assert response.headers[HEADER] == "abc"
    assert int(response.headers["Retry-After"]) >= 1
    assert response.json().keys() == {"type", "title", "status", "detail"}


def test_an_upload_arrives_whole(service):
    body = bytes(range(256)) * 8192
    response = service.client.post("/upload", files={"file": ("bytes", body)})
    assert response.json() == hashlib.sha256(body).hexdigest()


def test_a_body_in_chunks_is_read_as_it_comes(service):
    service.received = sent = 0
    host, port = service.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /raw HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for size in (1, 10, 100):
            connection.sendall(b"%x\r\n%b\r\n" % (size, b"x" * size))
            sent += size
            until(lambda sent=sent: service.received == sent)
            assert service.received == sent, "the body was held back"
        connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.rpartition(b"\r\n")[2]) == 111


def test_a_websocket_speaks_both_ways_and_hears_its_client_leave(service):
    address = service.address.replace("http", "ws") + "/echo"
    with connect(address, additional_headers={HEADER: "abc"}) as websocket:
        assert websocket.response.headers.get_all(HEADER) == ["abc"]
        for text in ("one", "zwei", "三"):
            websocket.send(text)
            assert websocket.recv(10) == text
        assert value("websocket_connections_open", route="/echo") == 1
    assert service.socket_ended.wait(10)


def test_a_handshake_is_refused_with_a_status(service):
    address = service.address.replace("http", "ws") + "/scarce-socket"
    with connect(address), pytest.raises(InvalidStatus) as refused:
        connect(address)
    assert refused.value.response.status_code == 429
    assert refused.value.response.headers[HEADER]
