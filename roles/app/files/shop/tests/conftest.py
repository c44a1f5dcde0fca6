"""A real Redis and a real PostgreSQL of each test session's own, which tests may stop, freeze and start again."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from postgres import PostgresServer
from upkeeper.shared import SharedRedis


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
        for _ in range(3000):
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                if client.ping():
                    return
            time.sleep(0.02)
        raise RuntimeError("redis-server did not start within a minute")

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


class RedisGroup:
    """Three redis-servers on ports of loopback, and three Sentinels that choose which of them is the primary."""

    password = "pl4nted: one/that@has#all%sorts"
    down_after = 2.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = _free_ports(6)
        self.ports, self.sentinel_ports = ports[:3], ports[3:]
        sentinels = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        self.url = f"redis+sentinel://:{quote(self.password, safe='')}@{sentinels}/primary/0"
        self.processes: dict[int, subprocess.Popen] = {}

    def start(self) -> None:
        for port in self.ports:
            self.start_redis(port, replica_of=self.ports[0])
        # What a Sentinel does not see when it first looks, it sees ten seconds later.
        self._wait(lambda: self._replicas() == 2)
        for port in self.sentinel_ports:
            self._run(
                port,
                "--sentinel",
                f"""
                port {port}
                requirepass "{self.password}"
                sentinel sentinel-pass "{self.password}"
                sentinel monitor primary 127.0.0.1 {self.ports[0]} 2
                sentinel auth-pass primary "{self.password}"
                sentinel down-after-milliseconds primary {self.down_after * 1000:.0f}
                sentinel failover-timeout primary 6000
            """,
            )
        self._wait(lambda: all(self._knows_all(port) for port in self.sentinel_ports))

    def start_redis(self, port: int, *, replica_of: int | None = None) -> None:
        primary = f"replicaof 127.0.0.1 {replica_of}" if replica_of not in (None, port) else ""
        self._run(
            port,
            f"""
            port {port}
            requirepass "{self.password}"
            masterauth "{self.password}"
            save ""
            dir {self.folder}
            dbfilename {port}.rdb
            repl-diskless-sync-delay 0
            {primary}
        """,
        )

    def primary(self) -> int:
        """The port of the Redis that a Sentinel which runs calls the primary."""
        alive = [port for port in self.sentinel_ports if port in self.processes]
        with self.client(alive[0]) as client:
            return int(client.sentinel_get_master_addr_by_name("primary")[1])

    def kill(self, port: int) -> None:
        """End one as a power cut would."""
        process = self.processes.pop(port)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for port in list(self.processes):
            self.kill(port)

    def client(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=self.password, socket_timeout=5)

    def _replicas(self) -> int:
        with self.client(self.ports[0]) as client:
            return str(client.info("replication")).count("online")

    def _knows_all(self, port: int) -> bool:
        with self.client(port) as client:
            state = client.sentinel_masters()["primary"]
        return (state["num-slaves"], state["num-other-sentinels"], state["flags"]) == (2, 2, "master")

    def _run(self, port: int, *lines: str) -> None:
        *options, text = lines
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: install Debian's package redis-server"
        path = self.folder / f"{port}.conf"
        path.write_text(f"{textwrap.dedent(text)}\nbind 127.0.0.1\n")
        self.processes[port] = subprocess.Popen([program, path, *options], stdout=subprocess.DEVNULL)

    def _wait(self, ready: Callable[[], bool], within: float = 30) -> None:
        give_up = time.monotonic() + within
        while time.monotonic() < give_up:
            with contextlib.suppress(redis.RedisError):
                if ready():
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the group is not ready within {within} s")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in found]


@pytest.fixture
def redis_group(tmp_path):
    """A group of three, which is there and complete."""
    group = RedisGroup(tmp_path)
    try:
        group.start()
        yield group
    finally:
        group.stop()


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
def other_redis():
    """A second Redis."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.kill()


@pytest.fixture
async def shared(redis_server):
    """A connected SharedRedis."""
    redis = SharedRedis(redis_server.url, timeout=2)
    await redis.start()
    yield redis
    await redis.close()


@pytest.fixture(scope="session")
def _postgres_process():
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = PostgresServer(Path(folder))
        server.create()
        yield server
        server.kill()


@pytest.fixture
def postgres(_postgres_process):
    """The PostgreSQL of the session with an empty database, and running again after a test that stopped it."""
    if _postgres_process.running:
        _postgres_process.thaw()
    else:
        _postgres_process.start()
    _postgres_process.clear()
    return _postgres_process
