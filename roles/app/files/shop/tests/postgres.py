"""A real PostgreSQL, which tests may stop, freeze and start again; the system's own is not touched."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

SUPERUSER = "postgres"


def program(name: str) -> str:
    """Debian keeps the server's programs out of the PATH, by version."""
    found = [str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")] or [shutil.which(name)]
    assert found[-1], f"{name} is missing: install Debian's package postgresql"
    return found[-1]


def is_alive(process: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class PostgresServer:
    """A postgres on a Unix socket in a folder of its own, with the database `shop`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.url = f"postgresql://{SUPERUSER}@/shop?host={folder}"
        self._options = options
        self._process = None
        # It refuses to run as root.
        self._user = {"user": SUPERUSER, "group": SUPERUSER, "extra_groups": ()} if os.geteuid() == 0 else {}
        if self._user:
            os.chown(folder, pwd.getpwnam(SUPERUSER).pw_uid, -1)

    @property
    def running(self) -> bool:
        return self._process is not None

    def create(self) -> None:
        command = [program("initdb"), "--pgdata", f"{self.folder}/data", "--auth", "trust", "--username", SUPERUSER]
        command += ["--no-sync", "--encoding", "UTF8", "--locale", "C"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self._user)
        self.start()
        self.sql("CREATE DATABASE shop", database="postgres")

    def start(self) -> None:
        # What a process has written outlives its end without any sync.
        settings = ("listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off", *self._options)
        command = [program("postgres"), "-D", f"{self.folder}/data", *(f"--{setting}" for setting in settings)]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, **self._user)
        give_up = time.monotonic() + 60
        while self._psql("SELECT 1", "postgres").returncode:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < give_up, "postgres did not start within a minute"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            children = self._children()
            self._signal(signal.SIGSTOP)  # or it would start others in the place of those that end
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            # As long as one of them has not ended, its memory is in use and the next server refuses to start.
            give_up = time.monotonic() + 60
            while any(map(is_alive, children)) and time.monotonic() < give_up:
                time.sleep(0.01)
            for left in (self.folder / "data/postmaster.pid", *self.folder.glob(".s.PGSQL.*")):
                left.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Make it hold its connections and answer nothing, until it is thawed or killed."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def sql(self, statement: str, *, database: str = "shop") -> list[list[str]]:
        """The rows that a superuser gets."""
        ended = self._psql(statement, database)
        assert ended.returncode == 0, ended.stderr
        return [line.split("|") for line in ended.stdout.splitlines()]

    @contextlib.contextmanager
    def locked(self, table: str, mode: str) -> Iterator[None]:
        """Another transaction has the table in this mode, for as long as the block lasts."""
        psql = ["psql", "-h", self.folder, "-U", SUPERUSER, "-d", "shop", "-qXAt"]
        with subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
            session.stdin.write(f"BEGIN; LOCK {table} IN {mode} MODE; SELECT 'locked';\n")
            session.stdin.flush()
            assert session.stdout.readline() == "locked\n"
            yield

    def clear(self) -> None:
        """End all sessions of the database, and make it empty."""
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'", database="postgres")
        self.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    def _psql(self, statement: str, database: str) -> subprocess.CompletedProcess:
        command = ["psql", "-h", self.folder, "-U", SUPERUSER, "-d", database, "-qXAtc", statement]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def _children(self) -> list[int]:
        main = self._process.pid
        return [int(child) for child in Path(f"/proc/{main}/task/{main}/children").read_text().split()]

    def _signal(self, number: int) -> None:
        for process in (self._process.pid, *self._children()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
