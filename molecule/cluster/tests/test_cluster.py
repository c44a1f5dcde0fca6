"""A cluster under load: how requests are shared, who gets in, who comes and goes; the tests build on each other.

What is refused before anything changes, and in which order servers are upgraded, is decided by the controller alone:
tests/unit/plugins/test_drained.py and test_patching.py.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from asking import ask, on
from hello import SITE, live, load_on, make_source
from inside import host_in
from load import CLOSED, load
from plays import ROOT, play

BALANCERS = {"pf-lb1": "198.18.44.11", "pf-lb2": "198.18.44.12"}
SERVERS = {"pf-app1": "198.18.44.21", "pf-app2": "198.18.44.22", "pf-app3": "198.18.44.23"}
NETWORK = "pf-cluster"
# It is in maintenance, and pf-app3 drained, while servers are upgraded.
CLOSED_SITE, CLOSED_DOMAIN = "weighted", "weighted.example.com"
# Requests for a distribution, and how far it may be off; where chance or a hash decides, four standard deviations.
BY_CHANCE = {"random-two", "ip-hash"}
MANY, FAR = 1000, 0.06
FEW, NEAR = 300, 0.03

# How fast answers are says little on a busy machine, so here only errors do.
CANARY = {"app_canary_time": 12, "app_canary_max_slowdown": 1000, "app_canary_min_requests": 50}

# Asks `count` times over `clients` kept-alive connections, each time for another path and as a client of another
# network.
ASK_MANY = """
import collections, http.client, json, socket, ssl, sys, threading
name, count, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
fixed = sys.argv[4:]
context = ssl._create_unverified_context()
seen, lock = collections.Counter(), threading.Lock()

def connect():
    return context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 30), server_hostname=name)

def ask(numbers):
    connection = http.client.HTTPSConnection(name, context=context, timeout=30)
    for number in numbers:
        connection.sock = connection.sock or connect()
        client = fixed[0] if fixed else f"10.{number // 250}.{number % 250}.1"
        connection.request("GET", f"/{fixed[0] if fixed else number}", headers={"X-Forwarded-For": client})
        answer = connection.getresponse()
        answer.read()
        with lock:
            seen[answer.getheader("X-Server") if answer.status == 200 else str(answer.status)] += 1

threads = [threading.Thread(target=ask, args=(range(first, count, clients),)) for first in range(clients)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(seen))
"""

GET = """
import http.client, json, socket, ssl, sys
name, address, path, *forged = sys.argv[1:]
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection(name, context=context, timeout=10)
connection.sock = context.wrap_socket(socket.create_connection((address, 443), 10), server_hostname=name)
connection.request("GET", path, headers={"X-Forwarded-For": forged[0]} if forged else {})
answer = connection.getresponse()
print(json.dumps([answer.status, answer.getheader("Retry-After"), answer.read().decode()]))
"""

# Says of each ADDRESS:PORT whether a connection comes about.
CONNECT = """
import json, socket, sys
def reached(target):
    address, _, port = target.rpartition(":")
    try:
        socket.create_connection((address, int(port)), 1).close()
        return True
    except OSError:
        return False
print(json.dumps({target: reached(target) for target in sys.argv[1:]}))
"""


def host(name):
    return host_in(name)


def docker(*arguments):
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=60)


def book(name, *arguments, **variables):
    return play(*arguments, playbook=ROOT / "playbooks" / f"{name}.yml", **variables)


def load_on_both(allowed=0):
    """Load on both load balancers, that of one in all."""
    return load_on(*BALANCERS, allowed=allowed, slower=2)


def shares(site, count, *fixed, balancer="pf-lb1", clients=4):
    """Which server answered how many of the requests to a site; what is no 200 counts by its status."""
    name = f"{site}.example.com"
    text = on(
        host(balancer), "python3 -c %s %s %s %s" + " %s" * len(fixed), ASK_MANY, name, str(count), str(clients), *fixed
    )
    return Counter(json.loads(text))


def reached_from(name, *targets):
    return json.loads(on(host(name), "python3 -c %s" + " %s" * len(targets), CONNECT, *targets))


def address_of(name):
    return f"{SERVERS[name]}:8000"


@pytest.fixture(scope="session")
def edition(tmp_path_factory):
    """`edition("two")` is a source of that name; further lines go into its `edition.py`."""

    def make(name, lines=""):
        folder = tmp_path_factory.mktemp(name) / name
        make_source(ROOT / "molecule/deploys/app", folder)
        (folder / "edition.py").write_text(f"NAME = {name!r}\n{lines}")
        return {"folder": str(folder)}

    return make


@pytest.fixture(scope="session")
def balancers():
    return [host(name) for name in BALANCERS]


def test_site_brings_up_the_whole_cluster(edition, balancers, tmp_path):
    play(app_source=edition("one"), app_receipt_folder=str(tmp_path)).succeeded()
    assert live(balancers) == "one"


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        # The site of the app itself, with the default: round robin.
        ("hello", {"pf-app1": 1 / 3, "pf-app2": 1 / 3, "pf-app3": 1 / 3}),
        ("least-conn", {"pf-app1": 1 / 3, "pf-app2": 1 / 3, "pf-app3": 1 / 3}),
        ("random-two", {"pf-app1": 1 / 3, "pf-app2": 1 / 3, "pf-app3": 1 / 3}),
        ("ip-hash", {"pf-app1": 1 / 3, "pf-app2": 1 / 3, "pf-app3": 1 / 3}),
        ("weighted", {"pf-app1": 3 / 4, "pf-app2": 1 / 4}),
        ("with-backup", {"pf-app1": 1}),
    ],
)
def test_requests_are_shared_as_asked(site, expected):
    # One after the other: with several at once, the server that is faster at the moment would rightly get more.
    count, off = (MANY, FAR) if site in BY_CHANCE else (FEW, NEAR)
    seen = shares(site, count, clients=1)
    assert sum(seen.values()) == count
    assert set(seen) == {address_of(name) for name in expected}
    for name, share in expected.items():
        assert seen[address_of(name)] / count == pytest.approx(share, abs=off), seen


@pytest.mark.parametrize(("site", "fixed"), [("ip-hash", "192.0.2.7"), ("by-path", "basket")])
def test_what_belongs_together_stays_on_one_server(site, fixed):
    assert len(shares(site, 100, fixed)) == 1
    assert shares(site, 100, fixed) == shares(site, 100, fixed, balancer="pf-lb2")


def test_a_consistent_hash_uses_all_servers():
    assert set(shares("by-path", 100)) == set(map(address_of, SERVERS))


def test_strangers_reach_nothing_but_the_sites():
    private = [*map(address_of, SERVERS), f"{SERVERS['pf-app1']}:6379"]
    assert reached_from("pf-stranger", *private, "198.18.44.11:443") == {
        **dict.fromkeys(private, False),
        "198.18.44.11:443": True,
    }
    assert all(reached_from("pf-lb1", *map(address_of, SERVERS)).values())
    # Not even an account of the app server itself.
    assert reached_from("pf-app3", *private) == {
        **dict.fromkeys(private, False),
        f"{SERVERS['pf-app1']}:6379": True,
    }
    assert ask(host("pf-lb1"), SITE, "/metrics")[0] == 404


def test_a_deploy_and_a_rollback_lose_nothing(edition, balancers, tmp_path):
    with load_on_both():
        watched = book("deploy", app_source=edition("two"), app_receipt_folder=str(tmp_path), **CANARY).succeeded()
        assert live(balancers) == "two"
        book("rollback").succeeded()
    assert live(balancers) == "one"
    assert "the canary pf-app1 had 0 errors in " in watched.text
    receipt = json.loads(max(tmp_path.glob("*.json")).read_text())
    assert (
        min(receipt["canary"][side]["requests"] for side in ("canary", "others")) >= CANARY["app_canary_min_requests"]
    )
    assert "canary" in {event["name"] for event in receipt["events"]}


def test_a_release_with_which_the_canary_fails_clients_goes_from_all(edition, balancers, tmp_path):
    source = edition("erring", 'FATE = "fails some clients"\n')
    with load_on_both(allowed=1000) as loads:
        result = book("deploy", app_source=source, app_receipt_folder=str(tmp_path), **CANARY)
        assert live(balancers) == "one"
    assert result.returncode != 0
    assert "by more than 1 requests in a hundred (app_canary_max_errors)." in result.text
    assert re.search(r"the canary pf-app1 had [1-9]\d* errors in .*; the others had 0 errors in ", result.text)
    # One server alone had it, and nothing of it is left.
    problems = [problem for load in loads for problem in load.failed]
    assert {problem.partition(" connection: ")[2].split()[0] for problem in problems} == {"503"}
    for clients in loads:
        # Of the source that was live each Python has a release.
        sources = Counter(release.partition("-")[0] for release in clients.seen)
        assert sorted(sources.values()) == [1, 2], clients.seen
    assert set(shares("hello", 300)) == set(map(address_of, SERVERS))


def test_a_release_that_fails_on_the_second_server_goes_from_all(edition, balancers, tmp_path):
    lines = 'import socket\nFATE = "start-up that raises" if socket.gethostname() == "pf-app2" else ""\n'
    with load_on_both():
        result = book("deploy", app_source=edition("bad", lines), app_receipt_folder=str(tmp_path))
    assert result.returncode != 0
    assert "pf-app2, Make the release live: Release" in result.text
    assert live(balancers) == "one"
    assert len(shares("hello", 30)) == 3


def test_a_drained_server_gets_nothing():
    with load_on_both(allowed=20) as loads:
        book("drain", server="pf-app3", drain_timeout=5).succeeded()
        for balancer in BALANCERS:
            assert address_of("pf-app3") not in shares("hello", 60, balancer=balancer)
        again = book("drain", server="pf-app3", drain_timeout=5).succeeded()
        assert sum(again.stats("changed").values()) == 0
        # One load balancer alone: the others and the servers that are not of this run stay as they are.
        play("--limit", "pf-lb1", "--tags", "configure,preflight").succeeded()
        assert set(shares("hello", 60)) == {address_of("pf-app1"), address_of("pf-app2")}
    only_idle_ones_were_closed(loads)


def only_idle_ones_were_closed(loads):
    failed = [problem for load in loads for problem in load.failed]
    assert [problem for problem in failed if not CLOSED.search(problem)] == []


def test_in_maintenance_a_site_is_for_the_load_balancers_themselves():
    book("maintenance", state="on", site=CLOSED_SITE, retry_after=60).succeeded()
    for balancer in BALANCERS:
        assert status_for_a_stranger(balancer, site=CLOSED_DOMAIN) == [503, "60", '{"detail":"Maintenance"}']
        assert ask(host(balancer), CLOSED_DOMAIN)[0] == 200
        assert status_for_a_stranger(balancer)[0] == 200, "the other sites are open"


def status_for_a_stranger(balancer, *forged, site=SITE, path="/"):
    arguments = [GET, site, BALANCERS[balancer], path, *forged]
    return json.loads(on(host("pf-stranger"), "python3 -c" + " %s" * len(arguments), *arguments))


def test_a_stranger_who_says_to_be_somebody_else_is_not_believed():
    _, _, body = status_for_a_stranger("pf-lb1", "10.9.8.7", path="/forged")
    assert json.loads(body)["client"] == "198.18.44.99"
    deadline = time.monotonic() + 60
    while not (logged := host("pf-lb1").run("grep --fixed-strings /forged /var/log/nginx/access.log").stdout):
        assert time.monotonic() < deadline, "Nginx, which keeps lines for five seconds, has not written this one"
        time.sleep(0.5)
    assert (json.loads(logged)["client"], "10.9.8.7" in logged) == ("198.18.44.99", False)


@contextmanager
def load_from_a_stranger(allowed=0, least=51):
    """Load as of clients that have both load balancers as addresses of one name; a reboot takes seconds."""
    with load("pf-stranger", SITE, *BALANCERS.values(), slower=2, least=least) as result:
        yield result
    failed = [problem for problem in result.failed if not CLOSED.search(problem)]
    closed = len(result.failed) - len(failed)
    print(f"\n{result.sent} sent, failed: {failed}, closed while idle: {closed}, longest {result.longest:.2f} s")
    assert failed == []
    assert len(result.failed) <= allowed
    assert result.sent >= least


# What Debian has new today must not decide what an upgrade finds.
NO_SOURCES = "rm --force /etc/apt/sources.list /etc/apt/sources.list.d/*"
# A package in two versions; the new one asks for a reboot, as a kernel does.
REPOSITORY = """
set -e
mkdir -p /opt/packages && cd /opt/packages
for name in patched held; do for version in 1 2; do
  mkdir -p $name/DEBIAN
  printf 'Package: pf-%s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <n@localhost>\nDescription: a test\n' \
    $name $version >$name/DEBIAN/control
  printf '#!/bin/sh\n[ "$2" = "" ] || touch /run/reboot-required\n' >$name/DEBIAN/postinst
  chmod 755 $name/DEBIAN/postinst
  dpkg-deb --build $name $name-$version.deb
done; dpkg --install $name-1.deb; done
apt-mark hold pf-held
for deb in *-2.deb; do
  dpkg-deb --field $deb
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $deb $(stat -c %s $deb) $(sha256sum $deb | cut -c1-64)
done >Packages
echo 'deb [trusted=yes] file:/opt/packages ./' >/etc/apt/sources.list.d/packages.list
"""


def started(name):
    return on(host(name), "cut -d ' ' -f 22 /proc/1/stat")


# An app server, one that is drained, and both load balancers; a second app server would be upgraded as the first one.
UPGRADED = ("pf-app1", "pf-app3", *BALANCERS)


def test_servers_are_upgraded_and_rebooted_and_nothing_is_lost(edition):
    before = {name: started(name) for name in UPGRADED}
    for name in {*SERVERS, *BALANCERS}:
        on(host(name), "sh -c %s", NO_SOURCES)
    on(host("pf-app1"), "sh -c %s", REPOSITORY)
    with load_from_a_stranger(allowed=20), ThreadPoolExecutor() as pool:
        patching = pool.submit(book, "patch", only=",".join(UPGRADED), reboot="always", drain_timeout=5)
        lock = host("pf-app1").file("/var/lib/production.fastapi/hello/deploy.lock")
        while not lock.exists and not patching.done():
            time.sleep(0.5)
        deploy = book("deploy", app_source=edition("two"))
        result = patching.result().succeeded()
    assert deploy.returncode != 0
    assert "deploys hello (an upgrade of the system)" in deploy.text
    assert not lock.exists
    assert "1 package upgraded, rebooted (/run/reboot-required)" in result.text
    installed = on(host("pf-app1"), "dpkg-query --show --showformat='${Package} ${Version}\n' pf-held pf-patched")
    assert installed.split("\n")[:2] == ["pf-held 1", "pf-patched 2"]
    assert [name for name, then in before.items() if started(name) == then] == []
    # After a reboot too, an app server lets no account of its own host in.
    assert reached_from("pf-app3", address_of("pf-app3")) == {address_of("pf-app3"): False}
    for balancer in BALANCERS:
        # What operators have asked for is as it was before all reboots.
        assert set(shares("hello", 60, balancer=balancer)) == {address_of("pf-app1"), address_of("pf-app2")}
        assert status_for_a_stranger(balancer, site=CLOSED_DOMAIN)[0] == 503


def test_maintenance_ends_when_somebody_says_so():
    book("maintenance", state="off").succeeded()
    for balancer in BALANCERS:
        assert status_for_a_stranger(balancer, site=CLOSED_DOMAIN)[0] == 200


def test_a_drained_server_is_asked_again_when_it_is_undrained():
    with load_on_both(allowed=20) as loads:
        book("undrain", server="pf-app3").succeeded()
        assert set(shares("hello", 60)) == set(map(address_of, SERVERS))
    only_idle_ones_were_closed(loads)
    returned()


def test_an_upgrade_stops_at_a_server_that_does_not_come_back():
    enabled = on(host("pf-app2"), "ls /etc/systemd/system/multi-user.target.wants").split()
    units = ["hello.socket", *(unit for unit in enabled if unit.startswith("hello@"))]
    on(host("pf-app2"), "systemctl disable %s %s", *units)
    result = book("patch", only="pf-app2,pf-lb1", reboot="always", drain_timeout=5)
    on(host("pf-app2"), "systemctl enable --now %s %s", *units)
    assert result.returncode != 0
    assert "The upgrade stopped: pf-app2, Ask over the socket until there is an answer:" in result.text
    assert "done: none; left: pf-app2, pf-lb1; still drained, until patch or undrain: pf-app2." in result.text
    assert set(shares("hello", 60)) == {address_of("pf-app1"), address_of("pf-app3")}


def test_the_next_upgrade_brings_back_what_the_last_has_left_drained():
    book("patch", only="pf-app2", reboot="never").succeeded()
    returned()


def test_a_server_leaves_and_a_new_one_joins_when_it_can_serve(edition, tmp_path):
    with_all = Path(os.environ["MOLECULE_INVENTORY_FILE"])
    without = tmp_path / "inventory" / with_all.name
    shutil.copytree(with_all.parent, without.parent)  # the variables of its groups are beside it
    inventory = yaml.safe_load(with_all.read_text())
    drop(inventory, "pf-app3")
    without.write_text(yaml.safe_dump(inventory))
    source = {"app_source": edition("one"), "app_receipt_folder": str(tmp_path)}
    with load_from_a_stranger(allowed=20, least=251):
        play("--limit", "load_balancers", inventory=str(without), **source).succeeded()
        assert set(shares("hello", 60)) == {address_of("pf-app1"), address_of("pf-app2")}
        # What joins has nothing yet: no process, and no release to start.
        on(
            host("pf-app3"),
            "sh -c %s",
            "systemctl stop hello.socket 'hello@*'; rm -rf /srv/hello/current /srv/hello/releases",
        )
        play(**source).succeeded()
        assert set(shares("hello", 60)) == set(map(address_of, SERVERS))


def test_redis_lets_another_address_in_and_forgets_nothing():
    def process():
        return on(host("pf-app1"), "systemctl show --property MainPID --value redis-server")

    before, port = process(), f"{SERVERS['pf-app1']}:6379"
    for allowed in (["198.18.44.99"], []):
        result = play(
            "--limit", "pf-app1", "--tags", "preflight,configure", redis_allowed_addresses=allowed
        ).succeeded()
        assert result.stats("changed") == {"pf-app1": 1}
        assert reached_from("pf-stranger", port) == {port: bool(allowed)}
    assert process() == before


def drop(inventory, name):
    """Remove a host from all groups of an inventory."""
    for group in inventory.values():
        (group.get("hosts") or {}).pop(name, None)
        drop(group.get("children") or {}, name)


@contextmanager
def paused(name):
    """Every process of a host is frozen; its kernel still accepts connections."""
    docker("pause", name)
    try:
        yield
    finally:
        docker("unpause", name)


@contextmanager
def cut_off(name):
    """The network of a host is gone."""
    docker("network", "disconnect", NETWORK, name)
    try:
        yield
    finally:
        docker("network", "connect", "--ip", SERVERS[name], NETWORK, name)


@contextmanager
def killed(name):
    """A host is gone, and comes back by itself when it has power again."""
    docker("kill", name)
    try:
        yield
    finally:
        docker("start", name)


@pytest.mark.parametrize("lost", [paused, cut_off, killed])
def test_no_get_is_lost_with_a_server(lost):
    # A POST that a server may have begun is answered with an error, rather than done twice.
    with load_on_both(allowed=40) as loads, lost("pf-app3"):
        time.sleep(6)
        assert set(shares("hello", 60)) <= {address_of("pf-app1"), address_of("pf-app2")}
    failed = Counter(problem for load in loads for problem in load.failed)
    print(f"\n{lost.__name__}: {sum(load.sent for load in loads)} sent, failed: {dict(failed)}")
    assert [problem for problem in failed if problem.startswith("GET")] == []
    returned()


def returned():
    """Wait until all servers serve again."""
    deadline = time.monotonic() + 120
    while set(shares("hello", 60)) != set(map(address_of, SERVERS)):
        assert time.monotonic() < deadline, "a server did not come back"
        time.sleep(1)


def test_without_redis_the_cluster_serves_on():
    on(host("pf-app1"), "systemctl stop redis-server")
    with load_on_both():
        assert shares("hello", 300).total() == 300
        time.sleep(2)
    on(host("pf-app1"), "systemctl start redis-server")


def test_without_any_server_clients_are_told_at_once():
    for name in SERVERS:
        on(host(name), "systemctl stop hello.socket 'hello@*'")
    status, retry_after, body = status_for_a_stranger("pf-lb1")
    assert (status, retry_after, json.loads(body)) == (502, "5", {"detail": "The application did not answer"})
    assert shares("hello", 20) == {"502": 20}
