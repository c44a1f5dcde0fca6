"""The worker class of production.fastapi: a Uvicorn worker that is ready before it accepts and drains before it closes.

Written by Ansible, role production.fastapi.gunicorn; gunicorn.conf.py beside it holds the settings.

What it adds to `uvicorn_worker.UvicornWorker`:

- Ready first: start-up of the app is complete, and `readiness_path` answers below 500 in process, before the first
  accept. Then the worker itself tells systemd READY=1; Gunicorn would have said so before any worker had the app.
- Drained last: a worker that has to go stops accepting, answers what is open with `Connection: close`, leaves Nginx
  `idle_grace` seconds to let go of idle connections, closes WebSockets with 1012 after `websocket_grace`, and cancels
  what still runs after `request_grace`. It keeps its heartbeat meanwhile, so Gunicorn does not take it for hung.
- Gunicorn's settings that UvicornWorker leaves out have an effect: worker_connections (503 above it),
  limit_request_line (414), limit_request_fields and limit_request_field_size (431). SIGQUIT ends it at once.
- A request whose answer has not begun when Nginx is about to give up is answered 504 here. Nginx would take a slow
  request for a server that is down, ask the next one too, and after some of them none for anybody.
- Every answer, a WebSocket's handshake too, says in `release_header` which release gave it, if
  PRODUCTION_FASTAPI_RELEASE names one.
- A worker that is told to go accepts until its siblings that are starting have started. One that has reached
  max_requests asks for one worker more, and when that one accepts, the oldest goes; one at a time.
- A worker that is told to go while it is forked ends. Gunicorn would wait its whole graceful_timeout for it.
- A replaced worker that cannot start does not end its healthy siblings; it is tried again.
- systemd hears each second that a worker is alive, so that `standby` knows when all of them stand still.
- What the app made while it started is left out of garbage collection, which would go through all of it each time.
"""
# mypy: disable-error-code="import-not-found,import-untyped", allow-subclassing-any

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import mmap
import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from weakref import WeakSet

# The only place that names the versions this file was tried with: package: (lowest, first one that is too new).
SUPPORTED = {"gunicorn": ("25", "28"), "uvicorn": ("0.30", "1"), "uvicorn-worker": ("0.3", "1")}


def unsupported_version() -> str:
    """One sentence about the first package that does not fit this file; empty when all do."""
    for package, (lowest, too_new) in SUPPORTED.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "none"
        if not _numbers(lowest) <= _numbers(found) < _numbers(too_new):
            return (
                f"The production.fastapi worker needs {package} from {lowest} to below {too_new} and found {found} "
                f"in {sys.prefix}: change the app's pin of {package}, or use a release of production.fastapi that fits."
            )
    if _numbers(version("uvicorn-worker")) < [0, 4] and _numbers(version("uvicorn")) >= [0, 36]:
        return (
            f"The production.fastapi worker needs uvicorn-worker from 0.4 with uvicorn from 0.36 and found"
            f" {version('uvicorn-worker')} with {version('uvicorn')} in {sys.prefix}: change the pin of uvicorn-worker."
        )
    return ""


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)[:3]]


if sentence := unsupported_version():
    sys.exit(sentence)

from gunicorn.arbiter import Arbiter  # noqa: E402
from uvicorn.lifespan.on import LifespanOn  # noqa: E402
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol  # noqa: E402
from uvicorn.server import Server  # noqa: E402
from uvicorn_worker import UvicornWorker  # noqa: E402

# Seconds in which what a client still sends is read, although its request or WebSocket has had the last word.
LINGER = 2.0

# The header in which Nginx says for how many seconds it waits, and by how much the worker comes before it.
WAITS = b"x-answer-within"
SECONDS = re.compile(rb"[0-9]+([.][0-9]+)?")
AHEAD = 0.4
# Seconds between two looks for such requests.
LOOK = 0.1
TOO_LATE = b'{"detail":"The application took too long to answer"}'

# Objects that are made before the collector looks at them. Of Python's 700 many still belong to requests under way.
YOUNG_OBJECTS = 10_000

# Seconds after which a worker that has reached max_requests asks again for the one that lets the oldest go.
ASK_AGAIN = 5.0

# Signals that end a worker.
ENDING = {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}

# What systemd is told each second; the program `standby` looks for these words.
ALIVE = "A worker was alive"


class Limits(NamedTuple):
    """Gunicorn's limits on the head of a request, in bytes and in number of headers."""

    line: int
    fields: int
    field_size: int

    @property
    def head(self) -> int:
        """Bytes after which a head that is still incomplete is refused, so that it cannot fill the memory."""
        return self.line + self.fields * self.field_size


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools with `Limits`: 414 for a long request line, 431 for too many or too long headers."""

    # Connections that were accepted and whose TLS handshake is under way. Uvicorn does not know of them yet, and closes
    # one that it hears of while it shuts down, although the client takes it for open.
    arriving: ClassVar[WeakSet[LimitedProtocol]] = WeakSet()

    def __init__(self, limits: Limits, **kwargs: Any) -> None:
        """Keep `kwargs`, what Uvicorn gives each connection, until the handshake is over.

        What Uvicorn makes of them refers to itself, so Python would keep a connection whose handshake has failed.
        """
        self.arriving.add(self)
        self.limits = limits
        self.kwargs = kwargs

    def connection_made(self, transport: Any) -> None:
        """From now on Uvicorn knows of the connection."""
        super().__init__(**self.kwargs)
        self.refusal = HTTPStatus.BAD_REQUEST
        self.head_open = False
        self.head_size = 0
        self.lingers = False
        self.late_at = math.inf
        self.arriving.discard(self)
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """Begin to count the bytes of a head."""
        super().on_message_begin()
        self.head_open = True
        self.head_size = 0

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that is too long before it is complete."""
        super().data_received(data)
        if self.head_open:
            self.head_size += len(data)
            if self.head_size > self.limits.head:
                self.refusal = self._excess() or HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self.send_400_response("")

    def on_headers_complete(self) -> None:
        """Refuse a head that is over a limit before the app hears of it."""
        self.head_open = False
        if excess := self._excess():
            self.refusal = excess
            raise ValueError(excess.phrase)  # httptools hands it to data_received, which calls send_400_response
        self.late_at = math.inf
        super().on_headers_complete()
        cycle: Any = self.cycle
        if cycle is not None:
            cycle.transport = Lingering(self)

    def close_when_read(self) -> None:
        """Close when the request has come in whole, at the latest after `LINGER` seconds.

        An app may answer before it has read the body. A client that still sends would find a closed connection instead
        of the answer (RFC 9112, section 9.6).
        """
        if self.cycle is None or not self.cycle.more_body:
            self.transport.close()
        elif not self.lingers:
            self.lingers = True
            self.loop.call_later(LINGER, self.transport.close)

    def on_message_complete(self) -> None:
        """Close if the answer was the last one and the body was all that was waited for; else the answer is due."""
        super().on_message_complete()
        if self.lingers:
            self.transport.close()
        waits = next((value for name, value in self.headers if name == WAITS), b"")
        if SECONDS.fullmatch(waits):
            self.late_at = self.loop.time() + max(float(waits) - AHEAD, float(waits) / 2)

    def give_up(self) -> str:
        """Answer 504 if the answer of the app is late and has not begun; returns the request, or an empty text.

        The app hears that the client has gone, as it does when Nginx gives up, and goes on with what it does.
        """
        cycle: Any = self.cycle
        if self.loop.time() < self.late_at or cycle is None or self.transport.is_closing():
            return ""
        self.late_at = math.inf
        if cycle.response_started or cycle.disconnected:
            return ""
        cycle.disconnected = True
        cycle.message_event.set()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(TOO_LATE)),
            (b"connection", b"close"),
        ]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        body = b"" if cycle.scope["method"] == "HEAD" else TOO_LATE
        self.transport.write(STATUS_LINE[HTTPStatus.GATEWAY_TIMEOUT] + head + b"\r\n" + body)
        self.transport.close()
        return f"{cycle.scope['method']} {cycle.scope['path']}"

    def send_400_response(self, msg: str) -> None:
        """Answer `refusal` and close; the parser calls this for all that is not a request we take."""
        if self.transport.is_closing():
            return
        self.head_open = False
        body = (msg if self.refusal is HTTPStatus.BAD_REQUEST else self.refusal.phrase).encode()
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[self.refusal] + head + body)
        self.transport.close()

    def _excess(self) -> HTTPStatus | None:
        line = len(self.parser.get_method()) + len(self.url) + len(b"  HTTP/1.1")
        if line > self.limits.line:
            return HTTPStatus.REQUEST_URI_TOO_LONG
        if len(self.headers) > self.limits.fields or any(
            len(name) + len(value) + len(b": ") > self.limits.field_size for name, value in self.headers
        ):
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        return None


class Lingering:
    """The transport as one request's answer sees it: closing it waits until the request has been read."""

    def __init__(self, protocol: LimitedProtocol) -> None:
        """Close `protocol` instead of its transport."""
        self.close = protocol.close_when_read
        self._transport = protocol.transport

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's own."""
        return getattr(self._transport, name)


class Parting:
    """The transport of a WebSocket that ends: what was sent arrives, although the client still sends.

    To close a connection with unread data resets it, and the client would lose the close frame. So only our side ends;
    what comes is read until the client's side ends too, at the latest after `LINGER` seconds.
    """

    def __init__(self, transport: Any) -> None:
        """Take the place of `transport`."""
        self._transport = transport
        self._closing = False

    def is_closing(self) -> bool:
        """Whether our side has ended."""
        return self._closing or bool(self._transport.is_closing())

    def close(self) -> None:
        """End our side."""
        if not self._closing:
            self._closing = True
            # TLS has no end of one side here, and its close would wait 30 s for a client that does not close.
            half = self._transport.can_write_eof()
            if half and not self._transport.is_closing():
                self._transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER, self._transport.close if half else self._transport.abort)

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's own."""
        return getattr(self._transport, name)


class Siblings:
    """Which workers of a master are still starting: their process ids, in memory that the master shares with all."""

    SLOTS = 512

    def __init__(self) -> None:
        """Nobody is starting."""
        self._starting = memoryview(mmap.mmap(-1, self.SLOTS * struct.calcsize("i"))).cast("i")

    def begin(self, age: int) -> None:
        """A worker of this age, which is Gunicorn's count of them, starts in this process."""
        self._starting[age % self.SLOTS] = os.getpid()

    def settle(self, age: int) -> None:
        """It accepts, or it will not start."""
        self._starting[age % self.SLOTS] = 0

    def others_start(self) -> bool:
        """Whether another worker is still starting; one that was killed is not."""
        return any(pid and Path(f"/proc/{pid}").exists() for pid in self._starting)


def end_at_once_until_handled() -> None:
    """Let the signals that end a worker end it from its first moment; called by the master before it forks one.

    A process begins with the handlers of the one that forked it, and what those of a master hear in a worker is lost.
    A master that stops tells its workers once, and would wait its whole graceful_timeout for one that has not heard.
    So the signals wait while the master forks, and then do to the worker what they do while it imports the app.
    """
    if hasattr(Arbiter, "ends_at_once"):
        return
    Arbiter.ends_at_once = True  # kept on Gunicorn's class, as a reload reads this file anew
    master = os.getpid()
    forks = False

    def before() -> None:
        nonlocal forks
        forks = os.getpid() == master  # a worker has these hooks too, and its own forks are the app's
        if forks:
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)

    def in_master() -> None:
        if forks:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    def in_worker() -> None:
        if forks:
            for number in ENDING:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    os.register_at_fork(before=before, after_in_parent=in_master, after_in_child=in_worker)


def one_more_at_most(arbiter: Any, new: int, _old: int | None) -> None:
    """Gunicorn's hook nworkers_changed: as many workers as configured, or one more while one replaces another."""
    allowed = min(max(new, arbiter.cfg.workers), arbiter.cfg.workers + 1)
    if new != allowed:
        arbiter.num_workers = allowed


class GatedLifespan(LifespanOn):
    """The app's lifespan; start-up is complete only when the worker's gate has opened too."""

    def __init__(self, config: Any, gate: Any) -> None:
        """`gate` is awaited with the state that the app's start-up left."""
        super().__init__(config)
        self.gate = gate

    async def startup(self) -> None:
        """Return when the app has started and the gate is open."""
        await super().startup()
        if not self.should_exit:
            await self.gate(self.state)


class DrainServer(Server):
    """A Uvicorn server that says READY=1 to systemd and drains before it shuts down."""

    def __init__(self, worker: DrainWorker) -> None:
        """Serve with the configuration and the times of `worker`."""
        super().__init__(worker.config)
        self.worker = worker
        self.asked_at = -math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, accept, and say so to systemd, to the siblings and to the master."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            gc.collect()
            gc.freeze()
            gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
            tell_systemd("READY=1")
            self.worker.siblings.settle(self.worker.age)
            if self.worker.is_replacement:
                os.kill(self.worker.ppid, signal.SIGTTOU)  # if there is one more than configured, the oldest goes now

    async def on_tick(self, counter: int) -> bool:
        """Ask for one worker more when this one has answered max_requests; again while an older one goes instead."""
        if (
            self.server_state.total_requests >= self.worker.max_requests
            and self.asked_at + ASK_AGAIN < time.monotonic()
        ):
            self.asked_at = time.monotonic()
            os.kill(self.worker.ppid, signal.SIGTTIN)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down as Uvicorn does; bounded at each step."""
        worker, now = self.worker, asyncio.get_running_loop().time
        patience = now() + worker.succession_grace
        while worker.siblings.others_start() and now() < patience:
            await asyncio.sleep(0.05)
        begin = now()
        end = begin + worker.idle_grace + worker.request_grace
        for server in self.servers:
            server.close()
        # Every response that begins from now on carries this, and Uvicorn closes its connection after it.
        self.server_state.default_headers.append((b"connection", b"close"))
        await self._until_gone(begin + worker.idle_grace, websockets=False)
        for connection in self._open(websockets=False):
            connection.shutdown()
        await self._until_gone(begin + worker.websocket_grace, websockets=True)
        for websocket in self._open(websockets=True):
            websocket.transport = Parting(websocket.transport)
        self.config.timeout_graceful_shutdown = math.ceil(max(0.1, end - now()))  # Uvicorn counts whole seconds
        try:
            # Python 3.10 has no asyncio.timeout, and an error of its own.
            await asyncio.wait_for(super().shutdown(sockets), max(0.1, end - now()) + worker.shutdown_grace)
        except asyncio.TimeoutError:  # noqa: UP041
            worker.log.error("The app's shutdown took longer than %s s and was given up.", worker.shutdown_grace)

    def _open(self, *, websockets: bool) -> list[Any]:
        every = self.server_state.connections
        return [connection for connection in every if isinstance(connection, LimitedProtocol) is not websockets]

    async def _until_gone(self, deadline: float, *, websockets: bool) -> None:
        now = asyncio.get_running_loop().time
        while (self._open(websockets=websockets) or (LimitedProtocol.arriving and not websockets)) and now() < deadline:
            await asyncio.sleep(0.05)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002
        """Stop gracefully; Uvicorn would raise the signal again at the end, and Gunicorn's exit hooks would not run."""
        if not self.started:
            self.worker.siblings.settle(self.worker.age)
            os._exit(0)  # still starting, perhaps for ever: there is nothing to drain
        self.should_exit = True


class DrainWorker(UvicornWorker):
    """See the top of this file. gunicorn.conf.py sets the attributes in a subclass; all times are seconds.

    `release_header` is the name of a header, or empty to send none. `around_app` returns an app around the given one.
    """

    idle_grace: float = 3.0
    websocket_grace: float = 5.0
    request_grace: float = 30.0
    shutdown_grace: float = 3.0
    succession_grace: float = 30.0
    readiness_path: str = ""
    readiness_patience: float = 10.0
    release_header: str = "X-Release"
    around_app: Callable[[Any], Any] | None = None

    CONFIG_KWARGS = {"loop": "uvloop", "http": "httptools"}  # noqa: RUF012

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Hand Gunicorn's limits to Uvicorn."""
        super().__init__(*args, **kwargs)
        cfg = self.cfg
        # Kept on Gunicorn's class: a reload reads this file anew, and the workers of before and after are siblings.
        if not hasattr(Arbiter, "siblings"):
            Arbiter.siblings = Siblings()
        self.siblings: Siblings = Arbiter.siblings
        self.config.limit_max_requests = None  # by which Uvicorn would end this worker before another one is there
        limits = Limits(cfg.limit_request_line, cfg.limit_request_fields, cfg.limit_request_field_size)
        self.config.http = partial(LimitedProtocol, limits)
        # Uvicorn counts the connection that asks, too.
        self.config.limit_concurrency = cfg.worker_connections + 1
        release = os.environ.get("PRODUCTION_FASTAPI_RELEASE", "")
        if release and self.release_header:
            self.config.headers.append((self.release_header, release))
        end_at_once_until_handled()

    @property
    def is_replacement(self) -> bool:
        """Whether workers of this master have served before this one: after a reload, a crash or max_requests."""
        return bool(self.age > self.cfg.workers)

    def init_process(self) -> None:
        """Run the worker; spare the healthy ones when this one replaces another and cannot start."""
        self.siblings.begin(self.age)
        try:
            super().init_process()
        except (Exception, SystemExit) as error:
            self.siblings.settle(self.age)
            if not self.is_replacement or (isinstance(error, SystemExit) and not error.code):
                raise
            self.log.error("A replaced worker could not start and is tried again: %r", error, exc_info=True)
            time.sleep(1)
            sys.exit(1)  # Gunicorn's own boot error code would end the healthy workers with it

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        self.config.load()
        if self.around_app is not None:
            self.config.loaded_app = self.around_app(self.config.loaded_app)
        server = DrainServer(self)
        self.config.lifespan_class = partial(GatedLifespan, gate=partial(self._until_ready, server))
        beside = [asyncio.create_task(self._heartbeat()), asyncio.create_task(self._give_up_in_time(server))]
        await server.serve(sockets=self.sockets)
        for task in beside:
            task.cancel()
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _heartbeat(self) -> None:
        """Tell Gunicorn each second that the loop turns: through start-up and drain too, where Uvicorn is silent.

        systemd hears it too, and `standby` from systemd.
        """
        while True:
            self.notify()
            # Without waiting: a systemd that is busy, or starts itself anew, must not hold up the loop.
            with contextlib.suppress(OSError):
                tell_systemd(f"STATUS={ALIVE} {time.monotonic():.0f} s after boot", wait=False)
            await asyncio.sleep(1)

    async def _give_up_in_time(self, server: DrainServer) -> None:
        """Answer 504 where the app is late, a moment before Nginx would."""
        while True:
            await asyncio.sleep(LOOK)
            for connection in list(server.server_state.connections):
                if isinstance(connection, LimitedProtocol) and (request := connection.give_up()):
                    self.log.warning("%s was not answered in time; the client got 504, the app goes on.", request)

    async def _until_ready(self, server: DrainServer, state: dict[str, Any]) -> None:
        """Return when the readiness path answers below 500.

        The first workers of a master wait for it, and systemd's start time-out ends a wait in vain. A replacement waits
        `readiness_patience`: a dependency that is down for an hour must not take the workers away one by one.
        """
        give_up = time.monotonic() + self.readiness_patience
        known = 0
        while self.readiness_path and not server.should_exit:
            status = await self._ask(self.readiness_path, state)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return
            if status != known:
                self.log.warning("Not ready: %s answers %d. No request is accepted yet.", self.readiness_path, status)
                known = status
            if self.is_replacement and time.monotonic() > give_up:
                self.log.error("Not ready after %s s; accepting, as the others do.", self.readiness_patience)
                return
            await asyncio.sleep(0.2)

    async def _ask(self, path: str, state: dict[str, Any]) -> int:
        """The status of GET `path`, asked of the app in process; 504 after 5 s, 500 when it raises."""
        answered: list[int] = []
        asked, done = False, asyncio.Event()

        async def receive() -> dict[str, Any]:
            # As a client that stays: who listens for the end of the request must wait for it, and find no second one.
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answered.append(message["status"])
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                done.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 0),
            "server": ("localhost", None),
            "state": state.copy(),
        }
        try:
            await asyncio.wait_for(self.config.loaded_app(scope, receive, send), 5)
        except asyncio.TimeoutError:  # noqa: UP041
            return HTTPStatus.GATEWAY_TIMEOUT
        except Exception:
            self.log.exception("GET %s raised", path)
            return HTTPStatus.INTERNAL_SERVER_ERROR
        return answered[0] if answered else HTTPStatus.INTERNAL_SERVER_ERROR


def tell_systemd(state: str, *, wait: bool = True) -> None:
    """Send `state` to systemd, if it runs us; gunicorn.conf.py keeps its address where Gunicorn does not look.

    Raises OSError when systemd does not listen, or has not read what came before and nobody is to wait for it.
    """
    address = os.environ.get("WORKER_NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            notify.setblocking(wait)
            notify.sendto(state.encode(), re.sub("^@", "\0", address))
