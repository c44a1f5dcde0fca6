"""Starts the shop on real Gunicorn workers, the simulator beside it, and shows figures with `-s`."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

PROJECT = Path(__file__).parents[2]
collect_ignore = [] if os.environ.get("LONG") else ["test_tutorial.py"]


class Process:
    """A server on a Unix socket."""

    def __init__(self, folder: Path, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.socket = folder / f"{name}.sock"
        self.log = folder / f"{name}.log"
        path = os.pathsep.join((str(PROJECT), str(Path(__file__).parent)))
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "TMPDIR": str(folder), **environment},
        )

    @property
    def path(self) -> str:
        return str(self.socket)

    def client(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.HTTPTransport(uds=self.path), base_url="http://localhost", timeout=60)

    def workers(self) -> list[int]:
        """The process ids below this one."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def wait(self, target: str = "/healthz") -> None:
        give_up = time.monotonic() + 180
        while time.monotonic() < give_up:
            assert self.process.poll() is None, self.log.read_text()
            try:
                with self.client() as client:
                    if client.get(target).status_code == 200:
                        return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        pytest.fail(f"not ready within three minutes: {self.log.read_text()}")

    def stop(self) -> None:
        print(f"\n  the log of {self.socket.stem} ends with: {self.log.read_text()[-1500:]}")
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def serve(tmp_path_factory):
    """`serve("shop.main:app", workers=4, APP_…="…")`: an application on Gunicorn, as in production but for systemd."""
    running = []

    def start(app: str, *, workers: int = 4, **environment: str) -> Process:
        folder = tmp_path_factory.mktemp("s")
        command = ["gunicorn", app, "--workers", str(workers), "--worker-class", "uvicorn_worker.UvicornWorker"]
        command += ["--bind", f"unix:{folder}/app.sock", "--forwarded-allow-ips", "*", "--log-level", "warning"]
        command += ["--no-control-socket", "--graceful-timeout", "3", "--keep-alive", "75"]
        running.append(Process(folder, "app", command, environment))
        running[-1].wait("/readyz" if app.startswith("shop") else "/healthz")
        return running[-1]

    yield start
    for process in running:
        process.stop()


@pytest.fixture
def simulator(tmp_path_factory):
    """The simulator on a port of loopback, with `.url` for the shop."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("p")
    process = Process(folder, "payments", ["payments", "--port", str(port)], {})
    url = f"http://127.0.0.1:{port}"
    with httpx2.Client(base_url=url, timeout=30) as client:
        for _ in range(1200):
            assert process.process.poll() is None, process.log.read_text()
            try:
                client.get("/healthz")
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        client.url = url
        yield client
    process.stop()
