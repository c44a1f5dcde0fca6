"""What clients get, and how long they wait, when things break: with the time-outs that users have, nothing shortened.

One host with Nginx and app together, and a cluster of a load balancer and two app servers. Their rows run at the same
time, because most of it is waiting. docs/explanation/promises.md has the table, and each row of it names its test here.
A bound is the time-out that ends the wait, and `BUSY` seconds in which a busy machine gets everything else done.
"""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import yaml
from asking import name_of, on
from hello import SITE, make_source
from inside import host_in
from plays import ROOT, play

ALONE, BALANCER, SERVERS = "pf-topologies12", "pf-topologies13", ("pf-redis1", "pf-redis2")
BUSY = 8
# What the defaults allow, in seconds: for a connection, a start after a crash, the app's answer, Nginx's read.
CONNECT, RESTART, LATE, READ = 2, 6, 30, 30.5

# So many that each of two servers gets some.
BOTH = [*["GET /"] * 4, *["POST /"] * 4]

# Starts as the file `fate` says, so that a release that serves can be made to crash again and again.
EDITION = """
from pathlib import Path
NAME = "one"
FATE = Path("/srv/hello/shared/fate").read_text() if Path("/srv/hello/shared/fate").exists() else ""
"""

# Asks all at once, each over a connection of its own: METHOD PATH [STATUS, Retry-After, release and its host, seconds].
CLIENT = """
import http.client, json, socket, ssl, sys, time
from concurrent.futures import ThreadPoolExecutor
context = ssl._create_unverified_context()
def ask(line):
    method, path = line.split()
    began = time.monotonic()
    connection = http.client.HTTPSConnection(sys.argv[1], context=context)
    plain = socket.create_connection(("127.0.0.1", 443), 150)
    connection.sock = context.wrap_socket(plain, server_hostname=sys.argv[1])
    connection.request(method, path, "x" if method == "POST" else None)
    answer = connection.getresponse()
    body, release = answer.read(), answer.getheader("X-Release")
    if answer.status == 200 and method == "GET":
        release += " of " + json.loads(body)["host"]
    return [answer.status, answer.getheader("Retry-After"), release, time.monotonic() - began]
with ThreadPoolExecutor(len(sys.argv[2:])) as pool:
    print(json.dumps(list(pool.map(ask, sys.argv[2:]))))
"""


def ask(host, *lines):
    """Ask these at once on a load balancer, and return the answers in their order."""
    answers = json.loads(on(host, "python3 -c" + " %s" * (len(lines) + 2), CLIENT, SITE, *lines))
    print(name_of(host), *zip(lines, answers, strict=True), sep="\n  ")
    return answers


def release(host):
    return on(host, "basename $(readlink /srv/hello/current)").strip()


def unit(host):
    return f"hello@{release(host)}.service"


@contextmanager
def crash_loop(host, fate="start-up that raises"):
    """The app is killed and does not come up again."""
    on(host, "printf %%s %s >/srv/hello/shared/fate; systemctl kill --signal=KILL %s", fate, unit(host))
    try:
        yield
    finally:
        # systemctl waits until it is ready.
        on(host, "rm /srv/hello/shared/fate; systemctl restart %s", unit(host))


@contextmanager
def frozen(host):
    """All workers stand still; the kernel takes connections for them."""
    workers = f"--parent $(systemctl show --property=MainPID --value {unit(host)})"
    on(host, f"pkill -STOP {workers}")
    try:
        yield
    finally:
        on(host, f"pkill -CONT {workers}")


@contextmanager
def deaf(host, balancer):
    """What the load balancer sends arrives; what the host sends is lost."""
    address = on(balancer, "hostname -I").split()[0]
    on(host, "ip route add blackhole %s", address)
    try:
        yield
    finally:
        on(host, "ip route delete blackhole %s", address)


@contextmanager
def unplugged(host, _balancer):
    """Nothing arrives, and nothing gets out."""
    name, address = name_of(host), on(host, "hostname -I").split()[0]
    docker("network", "disconnect", "pf-topologies", name)
    try:
        yield
    finally:
        docker("network", "connect", "--ip", address, "pf-topologies", name)


def docker(*arguments):
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=60)


def until_both_answer(balancer, within=120):
    """Wait until Nginx counts on both servers again, with those failures forgotten that were the last row's."""
    deadline = time.monotonic() + within
    while len({answer[2] for answer in ask(balancer, *["GET /"] * 4) if answer[0] == 200}) < 2:
        assert time.monotonic() < deadline, "a server did not come back"
        time.sleep(2)


def alone(host):
    """The rows of a single host."""
    seen = {"all is well": ask(host, "GET /", "POST /")}
    for fate in ("start-up that raises", "start-up that never ends"):
        with crash_loop(host, fate):
            seen[f"crash loop, {fate}"] = ask(host, "GET /", "POST /")
            seen[f"crash loop, {fate}, later"] = ask(host, "GET /", "POST /")
    # As after a first deploy that was refused: there is the socket, and no release behind it.
    on(host, "systemctl stop 'hello@*'")
    seen["no release"] = ask(host, "GET /", "POST /")
    on(host, "systemctl stop hello.socket")
    seen["no server"] = ask(host, "GET /", "POST /")
    on(host, "systemctl start hello.socket %s", unit(host))
    seen["slow"] = ask(host, "GET /slow", "POST /slow")
    with frozen(host):
        seen["frozen"] = ask(host, "GET /", "POST /")
        seen["frozen, later"] = ask(host, "GET /", "POST /")
    return seen


def cluster(balancer, first, second):
    """The rows of a cluster; at the end it has no power."""
    seen = {"all is well": ask(balancer, *BOTH)}
    with crash_loop(first):
        seen["crash loop of one"] = ask(balancer, *BOTH)
    until_both_answer(balancer)
    seen["slow"] = ask(balancer, *["GET /slow"] * 6, *["POST /slow"] * 2)
    seen["after slow ones"] = ask(balancer, *BOTH)
    with frozen(first):
        seen["frozen one"] = ask(balancer, *BOTH)
    until_both_answer(balancer)
    with frozen(first), frozen(second):
        seen["frozen, all"] = ask(balancer, *["GET /"] * 2, *["POST /"] * 2)
        seen["frozen, all, later"] = ask(balancer, "GET /", "POST /")
    until_both_answer(balancer)
    for lost in (deaf, unplugged):
        # Idle connections to it have been let go: 2 s, nginx_upstream_keepalive_timeout.
        time.sleep(3)
        with lost(first, balancer):
            seen[f"cut off, {lost.__name__}, one"] = ask(balancer, *BOTH)
        until_both_answer(balancer)
    time.sleep(3)
    with deaf(first, balancer), deaf(second, balancer):
        seen["cut off, all"] = ask(balancer, "GET /", "POST /")
    until_both_answer(balancer)
    ask(balancer, *["GET /"] * 8)  # connections that are used again
    with deaf(first, balancer):
        seen["cut off, connections in use"] = ask(balancer, *["GET /"] * 4)
    until_both_answer(balancer)
    time.sleep(3)
    docker("kill", name_of(first))
    seen["power lost, one"] = ask(balancer, *BOTH)
    on(second, "systemctl stop hello.socket 'hello@*'")
    # The one without power is asked as well, and nothing refuses the connection.
    seen["no server"] = ask(balancer, "GET /", "POST /")
    return seen


def provide(tmp_path, name, balancer, *servers):
    """Install the app with defaults; what is set has nothing to do with time-outs, but for the watching of a deploy."""
    address = {host: on(host, "hostname -I").split()[0] for host in (balancer, *servers)}
    listed = {name_of(host): {"ansible_host": address[host]} for host in servers or (balancer,)}
    variables = {
        "app_name": "hello",
        "app_domains": [SITE],
        "app_entrypoint": "main:app",
        "app_source": {"folder": str(tmp_path / "hello")},
        "gunicorn_observe_time": 1,
        "gunicorn_readiness_path": "/readyz",
        **({"gunicorn_bind": "{{ ansible_host }}:8000"} if servers else {}),
    }
    inventory = tmp_path / name / "hosts.yml"
    inventory.parent.mkdir()
    groups = {
        "all": {"vars": variables},
        "load_balancers": {"hosts": {name_of(balancer): {"ansible_host": address[balancer]}}},
        "app_servers": {"hosts": listed},
    }
    inventory.write_text(yaml.safe_dump(groups))
    play(inventory=str(inventory), fastapi_inventory="topologies").succeeded()


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What clients got in each row, of the single host and of the cluster."""
    folder = tmp_path_factory.mktemp("breaks")
    make_source(ROOT / "molecule/deploys/app", folder / "hello")
    (folder / "hello/edition.py").write_text(EDITION)
    single, balancer, *servers = (host_in(name) for name in (ALONE, BALANCER, *SERVERS))

    def rows(of, name, *hosts):
        provide(folder, name, *hosts)
        return of(*hosts)

    with ThreadPoolExecutor(2) as pool:
        rows_of = {"alone": pool.submit(rows, alone, "alone", single)}
        rows_of["cluster"] = pool.submit(rows, cluster, "cluster", balancer, *servers)
        return {name: future.result() for name, future in rows_of.items()}


def check(answers, statuses, within):
    """Each answer has one of these statuses, and came within so many seconds, on a busy machine too."""
    assert answers
    for status, retry_after, of_release, seconds in answers:
        assert status in statuses, answers
        assert seconds < within + BUSY, answers
        # Who does not get the app's answer is told when to come back, but for a time-out.
        assert status in (200, 504) or retry_after == "5", answers
        assert status != 200 or of_release, answers


def test_nothing_is_shortened():
    """The bounds of this file are those of the defaults."""
    defaults = yaml.safe_load((ROOT / "roles/nginx/defaults/main.yml").read_text())
    timeout = yaml.safe_load((ROOT / "roles/app/defaults/main.yml").read_text())["app_request_timeout"]
    assert (defaults["nginx_proxy_connect_timeout"], timeout, timeout + 0.5) == (CONNECT, LATE, READ)
    assert "read_timeout" in defaults["nginx_proxy_read_timeout"], "half a second more, says the filter of that name"


@pytest.mark.parametrize("where", ["alone", "cluster"])
def test_all_is_well(seen, where):
    check(seen[where]["all is well"], {200}, 0)


@pytest.mark.parametrize("fate", ["start-up that raises", "start-up that never ends"])
def test_a_crash_loop_is_503_within_six_seconds(seen, fate):
    check(seen["alone"][f"crash loop, {fate}"], {503}, RESTART)
    check(seen["alone"][f"crash loop, {fate}, later"], {503}, RESTART)


def test_a_socket_without_a_release_is_503(seen):
    check(seen["alone"]["no release"], {503}, RESTART)


def test_of_a_server_in_a_crash_loop_another_one_takes_the_gets(seen):
    answers = seen["cluster"]["crash loop of one"]
    check(answers[:4], {200}, RESTART)
    check(answers[4:], {200, 503}, RESTART)


def test_without_a_server_the_answer_comes_at_once(seen):
    check(seen["alone"]["no server"], {502}, 0)
    check(seen["cluster"]["no server"], {502, 504}, CONNECT)


@pytest.mark.parametrize("where", ["alone", "cluster"])
def test_a_slow_request_is_504_by_the_worker(seen, where):
    check(seen[where]["slow"], {504}, LATE)
    assert all(of_release for _status, _retry, of_release, _seconds in seen[where]["slow"]), "Nginx was first"


def test_slow_requests_cost_the_others_nothing(seen):
    """Nginx would have counted each as a failure of its server, and would count on none of them now."""
    check(seen["cluster"]["after slow ones"], {200}, 0)


def test_a_frozen_host_is_answered_at_the_deadline_and_a_second(seen):
    check(seen["alone"]["frozen"], {503, 504}, READ)


def test_who_comes_to_a_frozen_host_later_is_told_at_once(seen):
    check(seen["alone"]["frozen, later"], {503}, 1)


def test_while_all_servers_are_frozen_the_answer_comes_at_the_deadline_and_a_second(seen):
    """One of them after the other would be twice as long."""
    check(seen["cluster"]["frozen, all"], {502, 503, 504}, READ)
    check(seen["cluster"]["frozen, all, later"], {502, 503}, 1)


def test_of_a_frozen_server_another_one_takes_the_gets_and_no_post_is_done_twice(seen):
    answers = seen["cluster"]["frozen one"]
    check(answers[:4], {200}, READ)
    check(answers[4:], {200, 503, 504}, READ)
    assert max(seconds for *_rest, seconds in answers) > LATE / 2, "nobody was frozen"


@pytest.mark.parametrize("how", ["deaf", "unplugged"])
def test_of_a_server_that_is_cut_off_another_one_takes_all(seen, how):
    check(seen["cluster"][f"cut off, {how}, one"], {200}, CONNECT)


def test_while_all_servers_are_cut_off_the_answer_comes_within_five_seconds(seen):
    check(seen["cluster"]["cut off, all"], {502, 504}, 2 * CONNECT)


def test_a_get_on_a_connection_in_use_to_a_server_that_is_cut_off_waits_for_the_read_time_out(seen):
    check(seen["cluster"]["cut off, connections in use"], {200}, READ)


def test_of_a_server_without_power_another_one_takes_all_that_comes(seen):
    check(seen["cluster"]["power lost, one"][:4], {200}, CONNECT)
    check(seen["cluster"]["power lost, one"][4:], {200, 504}, READ)
