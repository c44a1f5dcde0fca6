"""What the role redis refuses, and what a real redis-server makes of the file that it writes."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import checked

Render = Callable[..., str]
HOST = {"distribution": "debian", "distribution_version": "13", "packages": {}}
PASSWORD = "pl4nted: a long one"
CLUSTER = {"redis_bind": "10.0.0.5:6379", "redis_password": PASSWORD}


def problems(**variables: Any) -> list[str]:
    return checked("redis", {"__fastapi_host": HOST, **variables})[1]


@pytest.mark.parametrize(
    "variables",
    [{}, CLUSTER, {**CLUSTER, "redis_bind": "[2001:db8::5]:6379"}, {"redis_memory": "16"}, {"redis_password": "short"}],
)
def test_good_values(variables: dict[str, Any]) -> None:
    assert problems(**variables) == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {**CLUSTER, "redis_password": ""},
            "redis_password is missing, and every host that reaches 10.0.0.5:6379 could guess it",
        ),
        (
            {**CLUSTER, "redis_password": "fifteen letters"},
            "redis_password is too short, and every host that",
        ),
        (
            {**CLUSTER, "redis_bind": "10.0.0.5"},
            'redis_bind is "10.0.0.5"; write the private address of the host and a',
        ),
        ({**CLUSTER, "redis_bind": "redis1:6379"}, 'redis_bind is "redis1:6379"; write the private address'),
        ({**CLUSTER, "redis_bind": "300.0.0.5:6379"}, 'redis_bind is "300.0.0.5:6379"; write the private address'),
        (
            {"__fastapi_host": {**HOST, "systemd_version": 247}},
            "The host runs debian 13, whose systemd is 247, and 252",
        ),
        (
            {**CLUSTER, "redis_allowed_addresses": ["300.0.0.1"]},
            "redis_allowed_addresses has 300.0.0.1; write IP addresses or networks, such as 10.0.0.5 or 10.0.0.0/24.",
        ),
        ({**CLUSTER, "redis_bind": "10.0.0.5:70000"}, 'redis_bind is "10.0.0.5:70000"; write the private address'),
        ({**CLUSTER, "redis_bind": "0.0.0.0:6379"}, 'redis_bind is "0.0.0.0:6379", which is every address of the host'),
        ({**CLUSTER, "redis_bind": "[::]:6379"}, 'redis_bind is "[::]:6379", which is every address of the host'),
        ({"redis_memory": 15}, 'redis_memory is "15"; write a whole number of MiB from 16 to 1000000.'),
        ({"redis_memory": "64mb"}, 'redis_memory is "64mb"; write a whole number of MiB'),
        ({"__fastapi_host": {**HOST, "has_apt": False}}, "The host runs debian 13, which has no apt; use Debian 12"),
    ],
)
def test_bad_values(variables: dict[str, Any], sentence: str) -> None:
    (found,) = problems(**variables)
    assert found.startswith(sentence)
    assert variables.get("redis_password") or "short" not in found


def test_only_app_servers_get_through_to_an_address(render: Render) -> None:
    inventory = {
        "inventory_hostname": "redis1",
        "groups": {"app_servers": ["app1", "redis1"]},
        "hostvars": {"app1": {"private_address": "10.0.0.6"}, "redis1": {"ansible_host": "10.0.0.5"}},
    }
    variables = {**CLUSTER, **inventory, "redis_allowed_addresses": ["10.0.9.9"]}
    text = render("redis", "access.conf.j2", variables)
    assert "IPAddressDeny=any\nIPAddressAllow=localhost 10.0.0.5 10.0.0.6 10.0.9.9\n" in text
    assert problems(**variables) == []
    (found,) = problems(**{**variables, "hostvars": {**inventory["hostvars"], "app1": {"ansible_host": "app.test"}}})
    assert "but app.test is not an IP address; set private_address of that host" in found


def test_a_refusal_does_not_tell_the_password() -> None:
    assert "fifteen letters" not in str(problems(redis_bind="10.0.0.5:6379", redis_password="fifteen letters"))


def test_the_file_has_the_password_only_as_its_sum(render: Render) -> None:
    text = render("redis", "redis.conf.j2", CLUSTER)
    assert PASSWORD not in text
    assert "unixsocket" not in text


def test_only_a_redis_with_an_address_may_use_the_network(render: Render) -> None:
    assert "RestrictAddressFamilies=AF_UNIX\n" in render("redis", "redis-server.service.d.conf.j2")
    assert "RestrictAddressFamilies" not in render("redis", "redis-server.service.d.conf.j2", CLUSTER)


class Server:
    """A redis-server with the role's file; only its folder is another."""

    def __init__(self, folder: Path, text: str, *address: str) -> None:
        self.address = address
        config = folder / "redis.conf"
        config.write_text(text.replace("/run/redis", str(folder)))
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: install Debian's package redis-server"
        self.process = subprocess.Popen([program, config], stdout=subprocess.DEVNULL)
        for _ in range(1500):
            if self.ask("ping") in ("PONG", "NOAUTH Authentication required."):
                return
            time.sleep(0.02)
        raise RuntimeError("redis-server did not start within 30 seconds")

    def ask(self, *words: str) -> str:
        done = subprocess.run(
            ["redis-cli", "--no-auth-warning", *self.address, *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return (done.stdout + done.stderr).strip()


@pytest.fixture
def redis_server(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    folder = tmp_path_factory.mktemp("r")
    with contextlib.ExitStack() as stack:

        def start(*address: str, **variables: Any) -> Server:
            made = Server(
                folder, render("redis", "redis.conf.j2", variables), *(address or ("-s", f"{folder}/redis-server.sock"))
            )
            stack.callback(made.process.wait)
            stack.callback(made.process.kill)
            return made

        yield start


def test_it_listens_on_its_socket_alone(redis_server: Any) -> None:
    redis = redis_server()
    path = Path(redis.address[1])
    assert path.stat().st_mode & 0o777 == 0o660
    assert redis.ask("ping") == "PONG"
    assert "tcp_port:0" in redis.ask("info", "server")


def test_memory_is_bounded_and_what_is_there_stays(redis_server: Any) -> None:
    redis = redis_server(redis_memory=16)
    assert redis.ask("set", "answer", "kept", "ex", "600") == "OK"
    answers = [redis.ask("setrange", f"filler-{number}", "1048576", "x") for number in range(20)]
    assert answers[0] == "1048577"
    assert answers[-1].startswith("OOM command not allowed")
    assert redis.ask("get", "answer") == "kept"
    assert "evicted_keys:0" in redis.ask("info", "stats")


@pytest.mark.parametrize(
    "command", ["flushall", "keys *", "config get *", "shutdown", "replicaof no one", "monitor", "save"]
)
def test_an_app_cannot_stop_empty_read_out_or_reconfigure_it(redis_server: Any, command: str) -> None:
    assert redis_server().ask(*command.split()).startswith("NOPERM")


def test_it_writes_nothing_to_disk_when_it_stops(redis_server: Any) -> None:
    redis = redis_server()
    redis.ask("set", "a", "b")
    redis.process.terminate()
    assert redis.process.wait(10) == 0
    assert [path.name for path in Path(redis.address[1]).parent.iterdir()] == ["redis.conf"]


def test_an_address_asks_for_the_password(redis_server: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    redis = redis_server("-p", port, redis_bind=f"127.0.0.1:{port}", redis_password=PASSWORD)
    assert redis.ask("ping").startswith("NOAUTH")
    assert "WRONGPASS" in redis.ask("-a", "another long password", "ping")
    assert redis.ask("-a", PASSWORD, "ping") == "PONG"


def apart(**apps: dict[str, str]) -> dict[str, Any]:
    """The inventory of a machine with these apps and a Redis, as the role sees it."""
    entries = {name: {"ansible_host": "10.0.0.1", "app_name": name, **variables} for name, variables in apps.items()}
    return {
        "inventory_hostname": "web1",
        "groups": {"app_servers": list(entries), "redis_servers": ["web1"]},
        "hostvars": {"web1": {"ansible_host": "10.0.0.1"}, **entries},
    }


SHOP = {"app_redis_keys": "shop:*", "app_redis_password": "the password of shop"}
BLOG = {"app_redis_keys": "blog:*", "app_redis_password": "the password of blog"}


def test_apps_are_kept_apart(redis_server: Any) -> None:
    inventory = apart(shop=SHOP, blog=BLOG)
    assert problems(**inventory) == []
    redis = redis_server(**inventory)

    def shop(*words: str) -> str:
        return str(redis.ask("--user", "app-shop", "-a", SHOP["app_redis_password"], *words))

    def blog(*words: str) -> str:
        return str(redis.ask("--user", "app-blog", "-a", BLOG["app_redis_password"], *words))

    assert shop("set", "shop:1", "ours") == "OK"
    assert shop("eval", "return redis.call('get', KEYS[1])", "1", "shop:1") == "ours"
    assert shop("publish", "shop:news", "x") == "0"
    theirs = [
        "get shop:1",
        "set shop:1 theirs",
        "del shop:1",
        "rename shop:1 blog:1",
        "copy shop:1 blog:1",
        "publish shop:news x",
        "scan 0",
        "randomkey",
        "keys *",
        "pubsub channels",
        "script flush",
        "function flush",
        "flushall",
        "acl list",
        "monitor",
    ]
    assert [command for command in theirs if not blog(*command.split()).startswith("NOPERM")] == []
    # Redis 7 of Debian 12, and Redis 8 of Debian 13.
    refused = ("can't access at least one of the keys", "No permissions to access a key")
    said = blog("eval", "return redis.call('get', 'shop:1')", "0")
    assert any(words in said for words in refused), said
    assert redis.ask("get", "shop:1").startswith("NOPERM")  # without a user
    assert "redis_version" in redis.ask("info", "server")
    assert "WRONGPASS" in redis.ask("--user", "app-shop", "-a", "another long password", "ping")
    assert shop("get", "shop:1") == "ours"


def test_a_redis_without_such_apps_is_as_before(render: Render) -> None:
    text = render("redis", "redis.conf.j2", apart(shop={}, blog={}))
    assert text == render("redis", "redis.conf.j2", {})


@pytest.mark.parametrize(
    ("apps", "sentence"),
    [
        ({"shop": SHOP, "blog": {}}, "app_redis_keys is missing for blog, and another app of the same Redis has it"),
        (
            {"shop": {**SHOP, "app_redis_keys": "*"}},
            'app_redis_keys of shop is "*"; write how its keys begin and an asterisk',
        ),
        ({"shop": {**SHOP, "app_redis_keys": "shop:* ~*"}}, 'app_redis_keys of shop is "shop:* ~*"; write how'),
        ({"shop": {**SHOP, "app_redis_keys": "shop:"}}, 'app_redis_keys of shop is "shop:"; write how'),
        ({"shop": {"app_redis_keys": "shop:*"}}, "app_redis_password of shop is missing; write one of 16 characters"),
        ({"shop": {**SHOP, "app_redis_password": "short"}}, "app_redis_password of shop is too short; write one of 16"),
        (
            {"shop": SHOP, "blog": {**BLOG, "app_redis_keys": "shop:blog:*"}},
            "app_redis_keys of shop (shop:*) and of blog (shop:blog:*) overlap; write keys of which none begins",
        ),
    ],
)
def test_keys_that_would_not_keep_apps_apart(apps: dict[str, dict[str, str]], sentence: str) -> None:
    (found,) = problems(**apart(**apps))
    assert found.startswith(sentence)
    assert "short;" not in found.replace("too short;", "")
