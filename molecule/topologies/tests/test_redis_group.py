"""Three servers with a Redis each: Sentinel chooses the primary, and no run does. The order of the tests counts."""

import subprocess
import time

import pytest
from asking import on
from inside import host_in
from plays import play

NUMBERS = (1, 2, 3)
PASSWORD = "only-for-this-scenario"
INVENTORY = f"""
redis_servers:
  hosts:
    redis1: {{ansible_host: 198.18.26.31, private_address: 198.18.26.31}}
    redis2: {{ansible_host: 198.18.26.32, private_address: 198.18.26.32}}
    redis3: {{ansible_host: 198.18.26.33, private_address: 198.18.26.33}}
  vars:
    redis_bind: "{{{{ private_address }}}}:6379"
    redis_password: {PASSWORD}
    redis_sentinel_password: another-one-of-this-scenario
app_servers: {{hosts: {{}}}}
load_balancers: {{hosts: {{}}}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the playbook site for the group, and return how much it changed on each host."""
    inventory = tmp_path_factory.mktemp("redis") / "hosts.yml"
    inventory.write_text(INVENTORY)
    return lambda **variables: play(inventory=str(inventory), **variables).succeeded().stats("changed")


def server(number):
    return host_in(f"pf-redis{number}")


def primary(seen_by):
    """The number of the server that is the primary, for the Sentinels as a server sees them."""
    return int(on(server(seen_by), "/etc/redis/group primary").split(" ")[0][-1])


def ask(number, *words):
    """What a Redis answers an app."""
    command = "REDISCLI_AUTH=%s redis-cli -h %s " + " ".join(["%s"] * len(words))
    return on(server(number), command, PASSWORD, f"198.18.26.3{number}", *words).strip()


def until(holds, within=90):
    """How long it takes until something holds, in seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, f"not within {within} s"
        time.sleep(1.5)  # each question is a program on each of the hosts
    return time.monotonic() - began


def complete():
    """Whether the primary has two replicas that are up to date, and all Sentinels know it."""
    numbers = {primary(each) for each in NUMBERS}
    return len(numbers) == 1 and ask(numbers.pop(), "info", "replication").count("state=online") == 2


def test_the_first_of_the_group_is_the_primary_at_first(run):
    run()
    until(complete)
    assert primary(1) == 1
    assert ask(1, "set", "shared", "kept") == "OK"
    assert set(run().values()) == {0}


def test_an_address_that_is_not_of_the_group_gets_no_answer(debian13):
    for port in (6379, 26379):
        open_port = debian13.run(f"timeout 2 bash -c 'exec 3<>/dev/tcp/198.18.26.31/{port}'")
        assert open_port.rc == 124, port


def test_a_primary_that_stops_is_replaced_and_no_run_brings_it_back(run):
    on(server(1), "systemctl stop redis-server")
    seconds = until(lambda: primary(2) != 1 and primary(3) == primary(2))
    second = primary(2)
    print(f"another primary {seconds:.1f} s after the first one had stopped")
    assert ask(second, "get", "shared") == "kept"
    assert set(run().values()) != {0}, "the run did not start the Redis that was stopped"
    until(complete)
    assert primary(1) == second


def test_a_killed_primary_and_one_that_reboots_come_back_as_replicas():
    first = primary(1)
    on(server(first), "kill -9 $(systemctl show --property MainPID --value redis-server)")
    until(lambda: primary(1) != first)
    until(complete)
    second = primary(1)
    assert second != first
    subprocess.run(["docker", "restart", f"pf-redis{second}"], check=True, capture_output=True)
    until(lambda: server(second).service("redis-server").is_running, 60)
    until(complete)
    assert primary(1) != second
    assert ask(primary(1), "get", "shared") == "kept"


def test_a_changed_setting_is_all_that_a_run_changes_then_and_it_forgets_nothing(run):
    assert set(run(redis_memory=65).values()) == {1}
    until(complete)
    assert ask(primary(1), "get", "shared") == "kept"


def test_what_leaves_the_variables_leaves_the_host(run):
    """Each of them alone again, by its socket: Sentinel and its files are gone."""
    run(redis_bind="")
    for number in NUMBERS:
        host = server(number)
        assert not host.service("redis-sentinel").is_running
        assert "role:master" in on(host, "redis-cli -s /run/redis/redis-server.sock info replication")
        for path in ("/etc/redis/group", "/etc/redis/group.conf", "/var/lib/redis-sentinel"):
            assert not host.file(path).exists, path
        assert not host.file("/etc/systemd/system/redis-sentinel.service").exists
