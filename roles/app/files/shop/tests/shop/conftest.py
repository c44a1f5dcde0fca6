"""The shop as it runs: Gunicorn with two workers, a real Redis and the real simulator."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

PROJECT = Path(__file__).parents[2]


class Server:
    """A process that answers HTTP on a port of loopback; its log is shown when it does not start."""

    def __init__(self, folder, name, command, **environment):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        environment |= {"PATH": os.environ["PATH"], "TMPDIR": str(folder), "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-m", *(word.format(port=self.port) for word in command)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    def client(self):
        return httpx2.Client(base_url=self.url, timeout=60, trust_env=False)

    def wait(self, path):
        with self.client() as client:
            give_up = time.monotonic() + 180
            while time.monotonic() < give_up:
                assert self.process.poll() is None, self.log.read_text()
                try:
                    if client.get(path).is_success:
                        return self
                except httpx2.TransportError:
                    pass
                time.sleep(0.05)
        pytest.fail(f"not ready within three minutes: {self.log.read_text()}")

    def stop(self):
        """Tell it to end and return how many seconds that took."""
        began = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(40)
        finally:
            self.process.kill()
        return time.monotonic() - began


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("payments"), "payments", ["payments", "--port", "{port}"])
    yield server.wait("/healthz")
    server.stop()


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """`serve(APP_…="…")`: the shop on Gunicorn with two workers, as in production but for systemd."""
    servers = []

    def start(**environment):
        command = "gunicorn shop.main:app --workers 2 --worker-class uvicorn_worker.UvicornWorker --no-control-socket"
        folder = tmp_path_factory.mktemp("shop")
        servers.append(Server(folder, "shop", [*command.split(), "--bind", "127.0.0.1:{port}"], **environment))
        return servers[-1].wait("/readyz")

    yield start
    for server in servers:
        server.stop()
