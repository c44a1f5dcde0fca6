"""Runs real Gunicorn with the rendered configuration, and speaks HTTP to it over kept-alive connections."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import queue
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Environments with the newest, the lowest supported and one version between of what the worker builds on.
ENVIRONMENTS = {
    "newest": REPOSITORY / ".cache/app-venv",
    "between": REPOSITORY / ".cache/worker-between",
    "lowest": REPOSITORY / ".cache/worker-lowest",
}

_spec = importlib.util.spec_from_file_location("unit_conftest", REPOSITORY / "tests/unit/conftest.py")
assert _spec is not None
assert _spec.loader is not None
_unit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_unit)
render = _unit.render


class Connection(http.client.HTTPConnection):
    """One kept-alive connection over a Unix socket, with TLS where `certificate.pem` lies beside it."""

    def __init__(self, path: Path, timeout: float = 60) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))
        certificate = self.path.with_name("certificate.pem")
        if certificate.exists():
            context = ssl.create_default_context(cafile=certificate)
            self.sock = context.wrap_socket(self.sock, server_hostname="shop.internal")

    def ask(self, target: str, method: str = "GET", body: str = "", **headers: str) -> http.client.HTTPResponse:
        self.request(method, target, body or None, headers)
        response = self.getresponse()
        response.text = response.read().decode()
        return response

    def closed_by_server(self, within: float) -> bool:
        """Whether the server closes this idle connection within so many seconds."""
        self.sock.settimeout(within)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(self.timeout)


@dataclass
class Gunicorn:
    """A running master."""

    folder: Path
    process: subprocess.Popen[str]
    notified: socket.socket
    opened: list[Connection] = field(default_factory=list)
    heard: queue.Queue[bytes] = field(default_factory=queue.Queue)

    def connection(self, **options: Any) -> Connection:
        self.opened.append(Connection(self.folder / "http.sock", **options))
        return self.opened[-1]

    def ask(self, target: str, **options: Any) -> http.client.HTTPResponse:
        return self.connection().ask(target, **options)

    def raw(self, sent: bytes) -> bytes:
        """All that the server answers to these bytes until it closes."""
        connection = self.connection()
        connection.connect()
        with contextlib.suppress(OSError):  # it may close before it has read all
            connection.sock.sendall(sent)
        received = b""
        with contextlib.suppress(OSError):
            while part := connection.sock.recv(65536):
                received += part
        return received

    def ready(self, within: float) -> bool:
        """Whether systemd hears READY=1 within so many seconds."""
        return self.hears(rb"READY=1", within)

    def hears(self, wanted: bytes, within: float) -> bool:
        """Whether systemd hears this pattern within so many seconds, whatever else it hears before."""
        deadline = time.monotonic() + within
        with contextlib.suppress(queue.Empty):
            while True:
                if re.match(wanted, self.heard.get(timeout=max(0, deadline - time.monotonic()))):
                    return True
        return False

    def listen(self) -> None:
        """Read what systemd is told, as it does, so that nobody waits for it."""
        with contextlib.suppress(OSError):
            while message := self.notified.recv(100):
                self.heard.put(message)

    def workers(self) -> set[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self, pid: int) -> None:
        assert pid in self.workers()
        os.kill(pid, signal.SIGKILL)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def begin(self, target: str) -> Connection:
        """Send a request of which the answer takes a while, and return once the app works at it."""
        begun = len(self.at_work())
        connection = self.connection(timeout=60)
        connection.request("GET", target)
        wait_for(lambda: len(self.at_work()) > begun)
        return connection

    def at_work(self) -> list[Path]:
        """What the app has written down of requests that take a while, one file each."""
        return list(self.folder.glob("at-work-*"))

    def stop(self, *, at_once: bool = False) -> int:
        """Stop as systemd does, or at once, without a drain."""
        for connection in self.opened:
            connection.close()
        if self.process.poll() is None:
            workers = self.workers() if at_once else ()
            self.signal(signal.SIGTERM)
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return self.process.wait(timeout=60)


Start = Callable[..., Gunicorn]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "every_version: about internals of Uvicorn or Gunicorn, so run with each version"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the newest versions; with each where it is about internals of them, or LONG=1 is set."""
    given = os.environ.get("WORKER_PYTHON")
    each = os.environ.get("LONG") or metafunc.definition.get_closest_marker("every_version")
    if "start" in metafunc.fixturenames and each and not given:
        metafunc.parametrize("python", ENVIRONMENTS, indirect=True)


@pytest.fixture
def python(request: pytest.FixtureRequest) -> Path:
    """The interpreter that Gunicorn runs with."""
    environment = ENVIRONMENTS[getattr(request, "param", "newest")]
    found = Path(os.environ.get("WORKER_PYTHON") or environment / "bin/python")
    if not found.exists():
        pytest.fail(f"{found} does not exist: see tests/worker/README.md, or set WORKER_PYTHON.")
    return found


def wait_for(condition: Callable[[], Any], within: float = 60) -> None:
    """Return as soon as the condition holds; fail after so many seconds: far more than a busy machine takes."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not true within {within} s"
        time.sleep(0.02)


def listens(path: Path) -> bool:
    """Whether somebody listens at a Unix socket; its file is there a moment before that."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@pytest.fixture
def start(tmp_path: Path, python: Path, render: Callable[..., str]) -> Iterator[Start]:
    """`start(gunicorn_workers=2, environment={…}, worker_class="…")`: a Gunicorn that has told systemd it is ready."""
    running: list[Gunicorn] = []

    def launch(
        *, environment: dict[str, str] | None = None, worker_class: str = "", wait: bool = True, **variables: Any
    ) -> Gunicorn:
        options = {
            "gunicorn_bind": f"unix:{tmp_path}/http.sock",
            "gunicorn_directory": str(Path(__file__).parent),
            "gunicorn_entrypoint": "app:app",
            "gunicorn_workers": 1,
            "gunicorn_name": "test",
        }
        config = render("gunicorn", "gunicorn.conf.py.j2", {**options, **variables})
        (tmp_path / "gunicorn.conf.py").write_text(config)
        for file in ("drain_worker.py", "kept_files.py", "workers_for_host.py"):
            shutil.copy(REPOSITORY / "roles/gunicorn/files" / file, tmp_path)
        address = tmp_path / "notify"
        address.unlink(missing_ok=True)
        notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notified.bind(str(address))
        command = [str(python), "-B", "-c", "from gunicorn.app.wsgiapp import run; run()"]
        command += ["--config", str(tmp_path / "gunicorn.conf.py")]
        command += ["--worker-class", worker_class] if worker_class else []
        process = subprocess.Popen(
            command,
            stdout=(tmp_path / "log").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "NOTIFY_SOCKET": str(address),
                "APP_TEST_FOLDER": str(tmp_path),
                **(environment or {}),
            },
        )
        running.append(Gunicorn(tmp_path, process, notified))
        threading.Thread(target=running[-1].listen, daemon=True).start()
        if wait and worker_class:
            wait_for(lambda: listens(tmp_path / "http.sock"))
        elif wait:
            assert running[-1].ready(within=60), running[-1].log()
        return running[-1]

    yield launch
    for gunicorn in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            gunicorn.stop(at_once=True)
        gunicorn.process.kill()
        with contextlib.suppress(OSError):
            gunicorn.notified.shutdown(socket.SHUT_RD)  # ends the thread, which a close would leave waiting
        gunicorn.notified.close()
