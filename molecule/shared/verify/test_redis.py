"""Redis on the same host as an app: who may reach it, what bounds it, and that it comes back."""

import re
import time

import pytest

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


def test_nothing_of_it_is_on_the_disk(host):
    assert host.check_output("find /var/lib/redis /var/log/redis /run/redis -type f") == ""


def test_the_sandbox(host):
    report = host.check_output("systemd-analyze security --no-pager redis-server")
    assert float(re.search(r"exposure level for .*: ([\d.]+)", report)[1]) <= 2.0
    mounts = host.check_output(f"cut -d' ' -f5,6 /proc/{main_pid(host)}/mountinfo").splitlines()
    writable = {path for path, options in (line.split() for line in mounts) if options.startswith("rw,")}
    kernel = tuple(f"/{folder}" for folder in ("dev", "proc", "sys"))
    assert {path for path in writable if not path.startswith(kernel)} == {"/run/redis", "/tmp", "/var/tmp"}


def test_the_app_reaches_it_from_its_sandbox(host, name):
    pid = main_pid(host, f"{name}@$(basename $(readlink /srv/{name}/current))")
    url = host.check_output(f". /etc/{name}/environment && echo $APP_REDIS_URL")
    assert url == f"unix://{SOCKET}"
    groups = ",".join(re.search(r"^Groups:\s+(.*)$", host.file(f"/proc/{pid}/status").content_string, re.M)[1].split())
    as_the_app = f"nsenter --mount --target {pid} setpriv --reuid={name} --regid={name} --groups={groups}"
    python = f"/srv/{name}/current/venv/bin/python"
    assert host.check_output(f"{as_the_app} {python} -c %s {url}", PING) == "True"
    without = host.run(f"{as_the_app.replace(f'--groups={groups}', '--clear-groups')} {python} -c %s {url}", PING)
    assert "Permission denied" in without.stderr


def test_a_killed_redis_comes_back(host, redis):
    before = main_pid(host)
    host.check_output(f"kill -KILL {before}")
    deadline = time.monotonic() + 15
    while host.run(f"redis-cli -s {SOCKET} ping").stdout.strip() != "PONG" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ask(host, "ping") == "PONG"
    assert main_pid(host) not in {0, before}
    assert redis.is_running
