"""What real redis-servers and Sentinels make of the role's files for a group, on three addresses of loopback."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import role_variables
from test_redis import problems

Render = Callable[..., str]
SETTINGS = ("redis.conf", "sentinel.conf", "group.conf")
PROGRAM = Path(__file__).parents[3] / "roles/redis/files/group.sh"
ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
APPS = "pl4nted: the apps'"
THEIRS = "pl4nted: \"their' own"


def inventory(host: str, redis_port: int = 6379, addresses: list[str] | None = None) -> dict[str, Any]:
    """The variables of a host of the group."""
    hostvars = {
        f"redis{number}": {
            "ansible_host": address,
            "redis_bind": f"{address}:{redis_port}",
            "redis_password": APPS,
            "redis_sentinel_password": THEIRS,
        }
        for number, address in enumerate(addresses or ADDRESSES, 1)
    }
    groups = {"redis_servers": list(hostvars)}
    return {**hostvars[host], "inventory_hostname": host, "groups": groups, "hostvars": hostvars}


class Host:
    """A member of the group: its Redis and its Sentinel, started as the units do; only folders and ports are others."""

    def __init__(self, folder: Path, render: Render, name: str, redis_port: int, sentinel_port: int) -> None:
        self.folder, self.name, self.render = folder, name, render
        self.redis_port, self.sentinel_port = redis_port, sentinel_port
        self.address = ADDRESSES[int(name[-1]) - 1]
        self.redis: subprocess.Popen[bytes] | None = None
        self.sentinel: subprocess.Popen[bytes] | None = None
        for part in ("etc/redis", "run/redis", "var/lib/redis-sentinel"):
            (folder / part).mkdir(parents=True)
        self.configure()

    def configure(self, addresses: list[str] | None = None) -> None:
        variables = inventory(self.name, self.redis_port, addresses) | {"__redis_sentinel_port": self.sentinel_port}
        for name in SETTINGS:
            self.write(name, self.render("redis", f"{name}.j2", variables))
        self.write("group", PROGRAM.read_text())

    def write(self, name: str, text: str) -> None:
        for part in ("/etc/redis", "/run/redis", "/var/lib/redis-sentinel"):
            text = text.replace(part, f"{self.folder}{part}")
        (self.folder / "etc/redis" / name).write_text(text.replace("chown redis:redis", "true"))

    def group(self, word: str) -> str:
        script = self.folder / "etc/redis/group"
        done = subprocess.run(["sh", script, word], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.strip()

    def start_redis(self) -> None:
        self.group("start")
        self.redis = run(self.folder / "etc/redis/redis.conf")
        until(lambda: self.ask("ping") == "PONG", 10)

    def start_sentinel(self) -> None:
        self.group("state")
        self.sentinel = run(self.folder / "var/lib/redis-sentinel/sentinel.conf", "--sentinel")
        until(lambda: self.ask("ping", sentinel=True) == "PONG", 10)

    def stop_redis(self) -> None:
        self.group("handover")
        assert self.redis
        self.redis.terminate()
        self.redis.wait(10)

    def ask(self, *words: str, sentinel: bool = False, user: str = "default") -> str:
        """What Redis or Sentinel answers an app, or another user."""
        port = self.sentinel_port if sentinel else self.redis_port
        done = subprocess.run(
            ["redis-cli", "--no-auth-warning", "--user", user, "-h", self.address, "-p", str(port), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={**os.environ, "REDISCLI_AUTH": APPS if user == "default" else THEIRS},
        )
        return (done.stdout + done.stderr).strip()

    def has(self, text: str) -> bool:
        return text in self.ask("info", "replication")


def run(*command: str | Path) -> subprocess.Popen[bytes]:
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: install Debian's package redis-server"
    return subprocess.Popen([program, *command], stdout=subprocess.DEVNULL)


def until(holds: Callable[[], bool], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, f"not within {seconds} s"
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def redis_group(render: Render, tmp_path: Path) -> Iterator[list[Host]]:
    redis_port, sentinel_port = free_port(), free_port()
    made = [Host(tmp_path / name, render, name, redis_port, sentinel_port) for name in ("redis1", "redis2", "redis3")]
    try:
        for host in made:
            host.start_redis()
            host.start_sentinel()
        until(lambda: made[0].ask("info", "replication").count("state=online") == 2, 20)
        # Sentinels hear of each other every two seconds.
        until(lambda: all("sentinels=3" in host.ask("info", sentinel=True, user="group") for host in made), 20)
        until(lambda: "slaves=2" in made[2].ask("info", sentinel=True, user="group"), 20)
        yield made
    finally:
        for process in [process for host in made for process in (host.redis, host.sentinel) if process]:
            process.kill()
            process.wait()


def test_a_group_from_its_first_start_to_a_member_that_leaves(redis_group: list[Host]) -> None:
    first, second, third = redis_group
    assert first.has("role:master")
    assert first.ask("set", "answer", "kept") == "OK"
    until(lambda: third.ask("get", "answer") == "kept", 60)

    # A stop hands over, and what starts again joins those who know more than it does.
    first.stop_redis()
    after_stop = second.group("primary")
    assert after_stop in {f"{second.address} {second.redis_port}", f"{third.address} {third.redis_port}"}
    first.start_redis()
    assert first.has("role:slave")
    until(lambda: first.ask("get", "answer") == "kept", 60)
    before = (first.folder / "etc/redis/redis.conf").read_text(), (first.folder / "etc/redis/sentinel.conf").read_text()
    assert "replicaof" not in before[0]
    assert f"sentinel monitor primary {first.address} {first.redis_port} 2" in before[1]

    # A Sentinel that restarts continues with what it knew.
    assert first.sentinel
    until(lambda: first.group("primary") == after_stop, 60)
    first.sentinel.terminate()
    first.sentinel.wait(60)
    state = first.folder / "var/lib/redis-sentinel/sentinel.conf"
    myself = re.findall("sentinel myid .*", state.read_text())
    first.start_sentinel()
    assert f"sentinel monitor primary {after_stop} 2" in state.read_text()
    assert re.findall("sentinel myid .*", state.read_text()) == myself

    # When nobody answers, what this host's Sentinel knew counts, not the first of the group.
    for host in redis_group:
        assert host.sentinel
        host.sentinel.kill()
        host.sentinel.wait()
    first.group("start")
    assert (first.folder / "run/redis/primary.conf").read_text() == f"replicaof {after_stop}\n"

    # Who leaves the group is forgotten.
    gone = third if after_stop.startswith(second.address) else second
    assert gone.address in state.read_text()
    first.configure(["127.0.1.1" if each == gone.address else each for each in ADDRESSES])
    first.group("state")
    assert not re.search(rf"known-(replica|sentinel) primary {gone.address} ", state.read_text())
    assert re.search("known-sentinel primary ", state.read_text())


def test_a_lost_primary_is_replaced(redis_group: list[Host]) -> None:
    first, second, third = redis_group
    assert first.redis
    assert first.sentinel
    first.ask("set", "answer", "kept")
    until(lambda: second.ask("get", "answer") == third.ask("get", "answer") == "kept", 5)
    began = time.monotonic()
    first.redis.kill()
    first.sentinel.kill()
    until(lambda: second.has("role:master") or third.has("role:master"), 20)
    print(f"another primary after {time.monotonic() - began:.1f} s")
    until(lambda: second.group("primary") == third.group("primary") != f"{first.address} {first.redis_port}", 10)
    primary = second if second.has("role:master") else third
    assert primary.ask("get", "answer") == "kept"
    assert primary.ask("set", "answer", "goes on") == "OK"


def test_apps_ask_a_sentinel_for_the_primary_and_nothing_else(redis_group: list[Host]) -> None:
    host = redis_group[0]
    assert f"\n{host.redis_port}\n" in host.ask("sentinel", "masters", sentinel=True)
    for command in (
        *("failover primary", "reset *", "remove primary", "monitor other 127.0.0.1 1 1", "set primary quorum 9"),
        *("config set announce-ip 127.0.0.9", "debug", "simulate-failure crash-after-election", "flushconfig"),
        *("is-master-down-by-addr 127.0.0.1 1 1 *", "ckquorum primary", "pending-scripts"),
    ):
        assert host.ask("sentinel", *command.split(), sentinel=True).startswith("NOPERM"), command
    for command in ("shutdown", "acl list", "client kill type normal", "client list", "publish __sentinel__:hello x"):
        assert host.ask(*command.split(), sentinel=True).startswith("NOPERM"), command
    assert "auth-pass" not in host.ask("sentinel", "masters", sentinel=True)
    for command in ("replicaof no one", "config rewrite", "psync ? -1", "client kill type normal"):
        assert "NOPERM" in host.ask(*command.split()), command
    assert host.ask("get", "answer", user="group").startswith("NOPERM")


def test_a_single_redis_knows_nothing_of_a_group(render: Render) -> None:
    single = {"redis_bind": "10.0.0.5:6379", "redis_password": "p" * 16}
    for template in ("redis.conf.j2", "redis-server.service.d.conf.j2", "access.conf.j2"):
        assert not re.search("sentinel|group|replica|masterauth", render("redis", template, single)), template


def test_the_members_get_through_to_each_other(render: Render) -> None:
    variables = inventory("redis2")
    text = render("redis", "access.conf.j2", variables)
    assert "IPAddressAllow=localhost 127.0.0.2 127.0.0.1 127.0.0.3\n" in text
    found = problems(**{**variables, "hostvars": {**variables["hostvars"], "redis1": {"redis_bind": "127.0.0.1:1"}}})
    assert any("redis_password of redis2 is not that of redis1" in sentence for sentence in found)


def test_the_passwords_reach_only_secret_files() -> None:
    secret = {entry["template"] for entry in role_variables("redis")["__redis_files"] if entry.get("secret")}
    assert {f"{name}.j2" for name in SETTINGS} == secret


def test_sentinel_is_restarted_for_each_file_that_it_is_started_from(render: Render) -> None:
    text = render("redis", "redis-sentinel.service.j2", inventory("redis2"))
    files = ["/etc/redis/sentinel.conf", "/etc/redis/group", "/etc/redis/group.conf"]
    unit = "/etc/systemd/system/redis-sentinel.service"
    assert f"sha256sum {' '.join([*files, unit])} >/run/redis-sentinel/started" in text
    assert set(re.findall(r"/etc/redis/[a-z.]+", PROGRAM.read_text())) <= set(files)
