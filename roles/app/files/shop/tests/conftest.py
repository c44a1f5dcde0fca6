"""A real Redis of each test session's own, which tests may stop, freeze and start again."""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis
from resilience.shared import SharedRedis


class RedisServer:
    """A redis-server on a Unix socket in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: install Debian's package redis-server"
        options = {"port": "0", "unixsocket": str(self.socket), "save": "", "dir": str(self.folder)}
        command = [program, *(word for key, value in options.items() for word in (f"--{key}", value))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                if client.ping():
                    return
            time.sleep(0.02)
        raise RuntimeError("redis-server did not start within 4 seconds")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Make it hold its connections and answer nothing, until it is thawed or killed."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket))


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def _redis_process():
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:  # short: a socket's path has at most 107 bytes
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture
def redis_server(_redis_process):
    """The Redis of the session, empty, and running again after a test that stopped it."""
    if _redis_process._process is None:
        _redis_process.start()
    _redis_process.thaw()
    with _redis_process.client() as client:
        client.flushall()
        client.script_flush()
    return _redis_process


@pytest.fixture
async def shared(redis_server):
    """A connected SharedRedis."""
    redis = SharedRedis(redis_server.url, timeout=2)
    await redis.start()
    yield redis
    await redis.close()
