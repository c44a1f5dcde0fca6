"""The request id: taken from the proxy, else made, and answered once."""

import asyncio
import os
import re

import httpx2
import pytest
from fastapi import FastAPI, Response, WebSocket
from starlette.testclient import TestClient, WebSocketDenialResponse
from upkeeper import context
from upkeeper.context import HEADER, RequestContextMiddleware, request_id

pytestmark = pytest.mark.anyio

MADE = re.compile(r"[0-9a-f]{32}")

api = FastAPI()


@api.get("/id")
async def answer_id():
    return request_id()


@api.get("/own-header")
async def own_header(response: Response):
    response.headers[HEADER] = "the application's own"
    return request_id()


@api.get("/task")
async def in_a_task():
    async def id_in_task():
        return request_id()

    return await asyncio.create_task(id_in_task())


@api.get("/thread")
def in_a_thread():
    return request_id()


@api.get("/bug")
async def bug():
    raise ZeroDivisionError


@api.websocket("/socket")
async def socket(socket: WebSocket):
    await socket.accept()
    await socket.send_text(request_id())
    await socket.close()


@api.websocket("/refused")
async def refused(socket: WebSocket):
    await socket.send_denial_response(Response("no", status_code=403))


@pytest.fixture
def client():
    with TestClient(RequestContextMiddleware(api), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/id", "/task", "/thread"])
@pytest.mark.parametrize("given", ["7", "A.b_c-9", "x" * 128])
def test_what_the_proxy_sent_is_taken_and_answered(client, path, given):
    response = client.get(path, headers={HEADER: given})
    assert response.json() == given
    assert response.headers[HEADER] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "a\tb", 'a"b', "{a}", "ä".encode(), b"\xff"])
def test_what_does_not_look_like_an_id_is_replaced(client, given):
    response = client.get("/id", headers={HEADER: given})
    assert MADE.fullmatch(response.json())
    assert response.headers[HEADER] == response.json()


def test_without_one_each_request_gets_its_own(client):
    ids = {client.get("/id").json() for _ in range(20)}
    assert len(ids) == 20
    assert {len(each) for each in ids} == {32}  # 96 bits of chance for the process, and a number


def test_it_is_answered_once(client):
    response = client.get("/own-header")
    assert response.headers.get_list(HEADER) == [response.json()]


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/bug", 500)])
def test_errors_carry_it(client, path, status):
    response = client.get(path, headers={HEADER: "abc"})
    assert (response.status_code, response.headers[HEADER]) == (status, "abc")


def test_websockets_have_one(client):
    with client.websocket_connect("/socket", headers={HEADER: "abc"}) as socket:
        assert socket.receive_text() == "abc"
        assert [value for name, value in socket.extra_headers if name == b"x-request-id"] == [b"abc"]


def test_a_refused_handshake_has_one(client):
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/refused", headers={HEADER: "abc"}),
    ):
        pass
    assert refused.value.headers[HEADER] == "abc"


async def test_a_response_object_that_is_sent_twice_keeps_its_headers():
    response = Response("always the same")
    before = list(response.raw_headers)
    transport = httpx2.ASGITransport(app=RequestContextMiddleware(response))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        for given in ("one", "two"):
            answer = await client.get("/", headers={HEADER: given})
            assert answer.headers.get_list(HEADER) == [given]
    assert response.raw_headers == before


@pytest.mark.parametrize("own", [[], [(b"x-request-id", b"own")], [(b"a", b"1"), (b"x-request-id", b"own")]])
async def test_an_id_of_the_applications_own_gives_way(own):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": own})

    async def send(message):
        sent.append(message)

    await RequestContextMiddleware(app)({"type": "http", "headers": [(b"x-request-id", b"given")]}, None, send)
    others = [pair for pair in own if pair[0] != b"x-request-id"]
    assert sent[0]["headers"] == [*others, (b"x-request-id", b"given")]


async def test_the_context_is_as_before_after_a_request():
    transport = httpx2.ASGITransport(app=RequestContextMiddleware(api))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/id")
    assert request_id() == ""


async def test_after_an_exception_the_server_still_knows_the_id():
    scope = {"type": "http", "headers": [(b"x-request-id", b"abc")]}

    async def app(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await RequestContextMiddleware(app)(scope, None, None)
    assert request_id() == "abc"


async def test_lifespan_has_none():
    async def app(scope, receive, send):
        assert request_id() == ""

    await RequestContextMiddleware(app)({"type": "lifespan"}, None, None)


def test_a_forked_worker_gives_ids_of_its_own():
    ours = context._ids.new()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, context._ids.new().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)
    assert len(theirs) == len(ours)
    assert theirs[:24] != ours[:24]


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-comes", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-01-what-comes", ""),
        (f"ff-{TRACE}-b7ad6b7169203331-01", ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-b7ad6b7169203331", ""),
        ("", ""),
    ],
)
async def test_a_trace_is_taken_and_passed_on_with_a_parent_id_of_the_call(sent, taken):
    seen = []

    async def app(scope, receive, send):
        seen.append((context.trace_id(), context.trace_headers(), context.trace_headers()))

    headers = [(b"traceparent", sent.encode()), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    await RequestContextMiddleware(app)({"type": "http", "headers": headers}, None, None)
    trace, first, second = seen[0]
    assert trace == taken
    if taken:
        assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", first["traceparent"])
        assert first["tracestate"] == "a=1,b=2"
        assert first["traceparent"] != second["traceparent"] != sent
    else:
        assert first == {}
    assert context.trace_id() == "", "and it is over after the request"
