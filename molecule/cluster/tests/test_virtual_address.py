"""The virtual address of two load balancers: who holds it, when it moves, and what its clients notice of that."""

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from asking import on
from hello import SITE
from inside import host_in
from plays import ROOT, play

ADDRESS = "198.18.44.100"
BALANCERS = {"pf-lb1": "198.18.44.11", "pf-lb2": "198.18.44.12"}
SERVERS = ("pf-app1", "pf-app2", "pf-app3")
STRANGER = "pf-stranger"

# Asks the address until its input ends, and 51 times in any case: GET and POST, over kept-alive and over new
# connections. `away` is the longest time without an answer to any of them.
CLIENT = """
import http.client, json, socket, ssl, sys, threading, time
address, name, over = sys.argv[1], sys.argv[2], threading.Event()
context = ssl._create_unverified_context()
lock, sent, failed, answered = threading.Lock(), [0], [], [time.monotonic()]

def connect():
    connection = http.client.HTTPSConnection(name, context=context, timeout=2)
    connection.sock = context.wrap_socket(socket.create_connection((address, 443), 2), server_hostname=name)
    connection.sock.settimeout(2)
    return connection

def ask(method, kept):
    connection = None
    while not over.is_set() or sent[0] <= 50:
        problem = ""
        try:
            connection = connection or connect()
            connection.request(method, "/", b"x" * 500 if method == "POST" else None)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                problem = str(answer.status)
            if not kept or connection.sock is None:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException) as error:
            problem, connection = type(error).__name__, None
        with lock:
            sent[0] += 1
            if problem:
                failed.append(f"{method} {'kept' if kept else 'new'} connection: {problem}")
            else:
                answered.append(time.monotonic())
        # A connection is several times the work of a request.
        time.sleep(0.05 if kept else 0.2)

threads = [threading.Thread(target=ask, args=(method, kept)) for method in ("GET", "POST") for kept in (True, False)]
[thread.start() for thread in threads]
sys.stdin.read()
over.set()
[thread.join() for thread in threads]
answered.append(time.monotonic())
away = max(later - earlier for earlier, later in zip(answered, answered[1:]))
print(json.dumps({"sent": sent[0], "failed": failed, "away": away}))
"""

# Says in VRRP's own words, version 3, that it has the address with the highest priority, as fast as the others do.
FORGE = """
import socket, struct, sys, time
address, *targets = sys.argv[1:]
source = socket.gethostbyname(socket.gethostname())
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
for _ in range(15):
    for target in targets:
        said = struct.pack("!BBBBHH4s", 0x31, 51, 254, 1, 30, 0, socket.inet_aton(address))
        over = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 112, len(said)) + said
        total = sum(struct.unpack(f"!{len(over) // 2}H", over))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        raw.sendto(said[:6] + struct.pack("!H", ~total & 0xFFFF) + said[8:], (target, 0))
    time.sleep(0.2)
"""


@dataclass
class Seen:
    """What clients of the address have seen, once the block is over."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)
    away: float = 0.0  # seconds


@contextmanager
def clients(what: str) -> Iterator[Seen]:
    """Clients ask the virtual address from another host until the block ends; what they saw is printed."""
    command = ["docker", "exec", "--interactive", STRANGER, "python3", "-c", CLIENT, ADDRESS, SITE]
    seen = Seen()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            time.sleep(1)
            yield seen
            time.sleep(1)
        finally:
            output, _ = process.communicate(timeout=60)
    vars(seen).update(json.loads(output))
    print(f"\n{what}: {seen.sent} sent, away {seen.away:.2f} s, failed: {dict(Counter(seen.failed))}")
    assert seen.sent > 50


def host(name):
    return host_in(name)


def docker(*arguments):
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=60)


def holds(name):
    return f" {ADDRESS}/32 " in on(host(name), "ip -oneline address show")


def holder():
    """The one load balancer that holds the address."""
    (found,) = [name for name in BALANCERS if holds(name)]
    return found


def until(name, holds_true):
    """Wait until a command succeeds on a load balancer, which tries it itself: each question costs more than that."""
    waiting = f"until {holds_true}; do sleep 0.2; done"
    waited = host(name).run("timeout 120 sh -c %s", waiting)
    assert waited.rc == 0, on(host(name), "journalctl --unit keepalived --boot | tail -n 20")


def moved(name):
    """Wait until a load balancer holds the address."""
    until(name, f"ip -oneline address show | grep --quiet ' {ADDRESS}/32 '")


def other(name):
    (found,) = set(BALANCERS) - {name}
    return found


def settled(name):
    """Wait until a load balancer could take the address."""
    # The last that it said, and nothing before that is read.
    said = "journalctl --unit keepalived --boot --output cat --reverse"
    states = f"{said} | grep --max-count 1 --only-matching --extended-regexp 'Entering (BACKUP|MASTER|FAULT) STATE'"
    until(name, f"{states} | grep --quiet --extended-regexp 'BACKUP|MASTER'")


@pytest.fixture(scope="module", autouse=True)
def _served():
    """The other tests may have left servers stopped."""
    for name in SERVERS:
        on(host(name), "systemctl start hello.socket hello@$(basename $(readlink /srv/hello/current))")
    for name in BALANCERS:
        settled(name)
        serving(name)


def serving(name):
    """Wait until its clients are served several times in a row: it asks a server that was lost again after 10 s."""
    asked = f"curl --silent --fail --insecure --max-time 10 --resolve {SITE}:443:127.0.0.1 https://{SITE}/"
    until(name, f"(for each in $(seq 12); do {asked} >/dev/null || exit 1; done)")


def test_one_load_balancer_holds_the_address_and_clients_reach_it():
    first = holder()
    assert not holds(other(first))
    with clients("nothing happens") as seen:
        told = play(playbook=ROOT / "playbooks/status.yml").succeeded()
    assert seen.failed == []
    assert f"{first} holds the virtual address {ADDRESS}." in told.text


def test_keepalived_is_in_a_sandbox():
    for name in BALANCERS:
        report = on(host(name), "systemd-analyze security --no-pager keepalived")
        assert float(re.search(r"exposure level for .*: ([\d.]+)", report)[1]) <= 2.5


def test_nobody_else_can_take_it():
    first = holder()
    on(host(STRANGER), "python3 -c %s %s %s %s", FORGE, ADDRESS, *BALANCERS.values())
    assert holder() == first


def test_it_moves_at_once_when_it_is_handed_over():
    first = holder()
    with clients("handed over") as seen:
        on(host(first), "systemctl stop keepalived")
        moved(other(first))
        on(host(first), "systemctl start keepalived")
        settled(first)
        time.sleep(2)
        # It is well again, and the address stays where it is.
        assert holder() == other(first)
    assert seen.away < 2
    # The requests that were open at that moment, at most one of each client.
    assert len(seen.failed) <= 4


def test_it_moves_when_nginx_does_not_come_back():
    first = holder()
    with clients("Nginx killed") as seen:
        on(host(first), "systemctl mask --runtime --quiet nginx && systemctl kill --signal KILL nginx")
        moved(other(first))
        assert holder() == other(first)
    assert seen.away < 8
    on(host(first), "systemctl unmask --runtime --quiet nginx && systemctl start nginx")
    settled(first)
    assert holder() == other(first)


def test_it_moves_when_nginx_hangs():
    first = holder()
    with clients("Nginx frozen") as seen:
        on(host(first), "systemctl kill --signal STOP nginx")
        moved(other(first))
        time.sleep(2)
        on(host(first), "systemctl kill --signal CONT nginx")
    assert seen.away < 10
    assert holder() == other(first)


def test_it_moves_when_a_load_balancer_is_gone_and_stays_when_that_is_back():
    first = holder()
    with clients("load balancer killed") as seen:
        docker("kill", first)
        moved(other(first))
        docker("start", first)
        settled(first)
        time.sleep(2)
        assert holder() == other(first)
    assert seen.away < 5


def test_it_stays_when_no_app_answers():
    first = holder()
    for name in SERVERS:
        on(host(name), "systemctl stop hello.socket 'hello@*'")
    time.sleep(4)
    assert holder() == first
    for name in SERVERS:
        on(host(name), "systemctl start hello.socket hello@$(basename $(readlink /srv/hello/current))")


def run(*arguments, **variables):
    """The play of the role alone, since the sites do not change."""
    return play(*arguments, playbook=ROOT / "molecule/cluster/virtual_address.yml", **variables)


def test_a_second_run_changes_nothing_and_without_its_variable_it_goes():
    assert sum(run().succeeded().stats("changed").values()) == 0
    first = holder()
    checked = run("--check", keepalived_address="").succeeded()
    assert min(checked.stats("changed").values()) == 1
    assert holder() == first
    run(keepalived_address="").succeeded()
    for name in BALANCERS:
        assert not holds(name)
        assert not host(name).file("/etc/keepalived/keepalived.conf").exists
        assert not host(name).service("keepalived").is_enabled
    run().succeeded()
    for name in BALANCERS:
        settled(name)
