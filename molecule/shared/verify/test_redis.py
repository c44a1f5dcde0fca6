"""Redis on the same host as an app: who may reach it, what bounds it, and that it comes back."""

import re
import time

import pytest
from asking import ask as fetch

SOCKET = "/run/redis/redis-server.sock"

# Runs on the host, by the app's own Python.
PING = "import redis, sys; print(redis.Redis.from_url(sys.argv[1]).ping())"


@pytest.fixture
def redis(host):
    yield host.service("redis-server")
    print(host.run("journalctl --no-pager --output=cat --lines=30 --unit=redis-server").stdout)


@pytest.fixture
def name(host):
    return host.ansible.get_variables().get("app_name", "shop")


def ask(host, command):
    return host.check_output(f"redis-cli -s {SOCKET} {command}")


def main_pid(host, unit="redis-server"):
    return int(host.check_output(f"systemctl show --property=MainPID --value {unit}"))


def test_it_runs_and_starts_with_the_host(host, redis):
    assert redis.is_running
    assert redis.is_enabled
    assert ask(host, "ping") == "PONG"


def test_the_socket_is_for_its_group_only(host):
    file = host.file(SOCKET)
    assert (file.is_socket, file.user, file.group, file.mode) == (True, "redis", "redis", 0o660)
    stranger = host.run(f"setpriv --reuid=nobody --regid=nogroup --clear-groups redis-cli -s {SOCKET} ping")
    assert "Permission denied" in stranger.stdout + stranger.stderr


def test_the_configuration_is_for_redis_only(host):
    file = host.file("/etc/redis/redis.conf")
    assert (file.user, file.group, file.mode) == ("redis", "redis", 0o640)


def test_it_is_not_on_the_network(host):
    assert "tcp_port:0" in ask(host, "info server")
    refused = host.run("redis-cli -h 127.0.0.1 ping")
    assert "Connection refused" in refused.stdout + refused.stderr


def test_memory_is_bounded_and_nothing_is_evicted(host):
    memory = ask(host, "info memory")
    assert f"maxmemory:{64 * 2**20}\r" in memory
    assert "maxmemory_policy:noeviction" in memory


def test_a_restart_forgets_everything(host):
    ask(host, "set verify:forgotten value ex 600")
    before = host.check_output("ls -l --time-style=full-iso /var/lib/redis")
    host.check_output("systemctl restart redis-server")
    assert ask(host, "get verify:forgotten") == ""
    assert host.check_output("ls -l --time-style=full-iso /var/lib/redis") == before


def test_the_sandbox(host):
    report = host.check_output("systemd-analyze security --no-pager redis-server")
    assert float(re.search(r"exposure level for .*: ([\d.]+)", report)[1]) <= 2.0
    mounts = host.check_output(f"cut -d' ' -f5,6 /proc/{main_pid(host)}/mountinfo").splitlines()
    writable = {path for path, options in (line.split() for line in mounts) if options.startswith("rw,")}
    assert "/run/redis" in writable
    assert not {"/", "/etc/redis", "/var/lib/redis", "/var/log/redis"} & writable


def test_the_app_is_let_in_by_its_group(host, name):
    pid = main_pid(host, f"{name}@$(basename $(readlink /srv/{name}/current))")
    url = host.check_output(f". /etc/{name}/environment && echo $APP_REDIS_URL")
    assert url == f"unix://{SOCKET}"
    groups = ",".join(re.search(r"^Groups:\s+(.*)$", host.file(f"/proc/{pid}/status").content_string, re.M)[1].split())
    python = f"/srv/{name}/current/venv/bin/python -c %s {url}"
    assert host.check_output(f"setpriv --reuid={name} --regid={name} --groups={groups} {python}", PING) == "True"
    without = host.run(f"setpriv --reuid={name} --regid={name} --clear-groups {python}", PING)
    assert "Permission denied" in without.stderr


def test_the_workers_find_it_again_from_their_sandbox(host):
    (site, *_), deadline = host.ansible.get_variables()["app_domains"], time.monotonic() + 90
    while clients(host) < 2 and time.monotonic() < deadline:
        fetch(host, site, "/api/orders/1")  # a worker that has nothing to count does not notice a restart
    assert clients(host) >= 2, "nobody but the test is connected"


def clients(host):
    return int(re.search(r"^connected_clients:(\d+)", ask(host, "info clients"), re.MULTILINE)[1])


def test_a_killed_redis_comes_back(host, redis):
    before = main_pid(host)
    host.check_output(f"kill -KILL {before}")
    deadline = time.monotonic() + 90
    while host.run(f"redis-cli -s {SOCKET} ping").stdout.strip() != "PONG" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ask(host, "ping") == "PONG"
    assert main_pid(host) not in {0, before}
    assert redis.is_running
