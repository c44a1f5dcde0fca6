"""The client of the probe against a real TLS server that behaves as Nginx does, and as it should not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._deploy.page_assets import fetch
from ansible_collections.production.fastapi.plugins.module_utils._deploy.probing import Request, client_arguments
from ansible_collections.production.fastapi.plugins.module_utils._deploy.probing_client import Prober, Target
from ansible_collections.production.fastapi.plugins.module_utils._deploy.verifying import ask

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Release: one\r\n\r\nok"


@pytest.fixture(scope="module")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=shop.example.com"
    subprocess.run(
        [*command.split(), "-keyout", folder / "key.pem", "-out", folder / "chain.pem"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context


@asynccontextmanager
async def serving(context: ssl.SSLContext, handler: Handler) -> AsyncIterator[int]:
    """A TLS server on a free port of loopback; connections end with their handler."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def prober(port: int, **options: object) -> Prober:
    target = {"domain": "shop.example.com", "path": "/readyz", "timeout": 2.0, "header": "X-Release", **options}
    return Prober(Target(address="127.0.0.1", port=port, **target))  # type: ignore[arg-type]


def lines(capsys: pytest.CaptureFixture[str]) -> list[Request]:
    return [Request.of(line) for line in capsys.readouterr().out.splitlines()]


async def every_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)


def ask_once(context: ssl.SSLContext, answer: bytes, capsys: pytest.CaptureFixture[str], **options: object) -> Request:
    """How one request ends when the server answers with these bytes and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        async with serving(context, handler) as port:
            await prober(port, **options).ask(fresh=True)

    asyncio.run(run())
    (line,) = lines(capsys)
    return line


@pytest.mark.parametrize(
    ("answer", "kind", "release"),
    [
        (OK, "200", "one"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad", "502", ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204", ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200", ""),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", "200", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "answer", ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok", "answer", ""),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "answer", ""),
        (b"", "closed", ""),
        (b"HTTP/1.1 20", "closed", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Release: <b> \x01 " + b"x" * 99 + b"\r\n\r\n", "200", None),
    ],
)
def test_how_a_request_ends(
    server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str], answer: bytes, kind: str, release: str | None
) -> None:
    line = ask_once(server_context, answer, capsys)
    assert (line.kind, line.again) == (kind, False)
    if release is None:
        assert line.release == "<b>???" + "x" * 74
    else:
        assert line.release == release


def test_no_answer_in_time(server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def run() -> None:
        async with serving(server_context, handler) as port:
            await prober(port, timeout=0.2).ask(fresh=True)

    asyncio.run(run())
    (line,) = lines(capsys)
    assert line.kind == "timeout"
    assert line.ms >= 200


def test_nobody_listens(server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        async with serving(server_context, lambda reader, writer: every_request(reader, writer, OK)) as port:
            pass
        await prober(port).ask(fresh=True)

    asyncio.run(run())
    assert [line.kind for line in lines(capsys)] == ["refused"]


def test_a_certificate_is_only_verified_when_asked_to(
    server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask_once(server_context, OK, capsys, verify=True).kind == "tls"
    assert ask_once(server_context, OK, capsys, verify=False).kind == "200"


def test_a_kept_connection_that_nginx_has_closed_is_no_failure(
    server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]
) -> None:
    connections = 0

    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")  # and closes on the second request

    async def run() -> None:
        async with serving(server_context, one_answer) as port:
            client = prober(port)
            for _ in range(3):
                await client.ask(fresh=False)

    asyncio.run(run())
    assert [(line.kind, line.again) for line in lines(capsys)] == [("200", False), ("200", True), ("200", False)]
    assert connections == 3


def test_new_and_kept_connections_are_mixed(server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]) -> None:
    wishes: list[list[bytes]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked: list[bytes] = []
        wishes.append(asked)
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"GET /readyz HTTP/1.1\r\nHost: shop.example.com\r\n")
            asked.append(b"close" if b"Connection: close" in head else b"keep")
            writer.write(OK)

    async def run() -> None:
        async with serving(server_context, handler) as port:
            await prober(port).run(rate=40, seconds=0.3)

    asyncio.run(run())
    assert len(lines(capsys)) == 12
    kept = [wish for wish in wishes if b"close" not in wish]
    assert [wish for wish in wishes if b"close" in wish] == [[b"close"]] * 3
    assert sum(map(len, kept)) == 9
    # One connection, unless the machine is so busy that a request begins before the one before it is answered.
    assert max(map(len, kept)) > 1


def test_a_stall_delays_no_other_request(server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]) -> None:
    """All requests begin while none is answered, so each of them shows the stall."""
    open_again = asyncio.Event()
    waiting: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.append(await reader.readuntil(b"\r\n\r\n"))
        if len(waiting) == 20:
            open_again.set()
        await open_again.wait()
        writer.write(OK)
        await reader.read()

    async def run() -> None:
        async with serving(server_context, handler) as port:
            async with asyncio.timeout(60):
                await prober(port).run(rate=50, seconds=0.4)

    asyncio.run(run())
    requests = lines(capsys)
    assert len(requests) == 20
    assert max(request.ms for request in requests) > 300


def test_a_client_that_is_told_to_stop_waits_for_what_is_open(
    server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.5)
        writer.write(OK)
        await reader.read()

    async def run() -> None:
        async with serving(server_context, handler) as port:
            client = prober(port)
            asyncio.get_running_loop().call_later(0.15, client.stop)
            async with asyncio.timeout(5):
                await client.run(rate=20, seconds=60)

    asyncio.run(run())
    requests = lines(capsys)
    assert 1 <= len(requests) < 20
    assert {request.kind for request in requests} == {"200"}


def test_it_runs_alone_as_a_file(tmp_path: Path, server_context: ssl.SSLContext) -> None:
    """On a host it is a file by itself, run by an isolated interpreter that has only the standard library."""
    from ansible_collections.production.fastapi.plugins.module_utils._deploy import probing_client

    program = tmp_path / "client.py"
    program.write_text(Path(probing_client.__file__).read_text())

    async def run() -> tuple[bytes, bytes]:
        async with serving(server_context, lambda reader, writer: every_request(reader, writer, OK)) as port:
            target = {"address": "127.0.0.1", "port": port, "domain": "shop.example.com", "path": "/"}
            target |= {"timeout": 5, "header": "X-Release"}
            words = client_arguments(target, rate=20, seconds=1)
            command = ["/usr/bin/env", "python3", "-I", "-S", "-B", str(program), *words]
            process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
            async with asyncio.timeout(30):
                return await process.communicate()

    output, errors = asyncio.run(run())
    assert errors == b""
    assert [Request.of(line).kind for line in output.decode().splitlines()] == ["200"] * 20


@contextmanager
def behind_a_proxy(context: ssl.SSLContext) -> Iterator[int]:
    """A TLS server of which all connections have to begin with the PROXY protocol, as with Nginx's `proxy_protocol`."""
    words = b"PROXY UNKNOWN\r\n"

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if connection.recv(len(words)) == words:
                with context.wrap_socket(connection, server_side=True) as secure:
                    while secure.recv(65536):
                        secure.sendall(OK)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_where_nginx_expects_the_proxy_protocol_connections_begin_with_it(
    server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(port: int) -> None:
        client = prober(port, proxy_protocol=True)
        for fresh in (True, False, False):
            await client.ask(fresh=fresh)
        assert [connection.asked for connection in client.idle] == [2]

    with behind_a_proxy(server_context) as port:
        asyncio.run(run(port))
        assert [(line.kind, line.release) for line in lines(capsys)] == [("200", "one")] * 3
        there = {"address": "127.0.0.1", "port": port, "domain": "shop.example.com", "path": "/", "timeout": 5.0}
        target = Target(**there, header="X-Release", proxy_protocol=True)  # type: ignore[arg-type]
        assert ask(target) == ("200", "one")
        assert fetch(target, "/")[0] == "200"
        assert not ask(Target(**there, header="X-Release"))[0].isdigit()  # type: ignore[arg-type]
        words = client_arguments({**there, "header": "X-Release", "proxy_protocol": True}, rate=20, seconds=1)
        assert "--proxy-protocol" in words


def test_a_server_that_does_not_expect_it_is_not_waited_for(
    server_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ask_once(server_context, OK, capsys, proxy_protocol=True)
    assert not line.kind.isdigit()
    assert line.kind != "timeout"
