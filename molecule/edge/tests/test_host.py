"""What Nginx writes down, tells and is allowed, and that it comes back."""

import json
import re
import time

from asking import on
from clients import ask, asked, log_of, statuses


def test_the_log_has_an_object_for_each_request(host):
    line = log_of(host, ask(host, '/a?b="c"', headers={"User-Agent": 'a "quoted" \\ name'}))
    assert (line["method"], line["uri"], line["status"]) == ("GET", '/a?b="c"', 200)
    assert line["release"] == "one-1234"
    assert line["agent"] == 'a "quoted" \\ name'
    assert (line["client"], line["host"], line["tls"]) == ("127.0.0.1", "edge.example.com", "TLSv1.3")
    assert 0 <= float(line["response_seconds"]) <= line["seconds"] + 0.001


def test_the_app_and_the_client_hear_the_same_request_id(host):
    answer = ask(host, "/")
    assert answer.headers["x-request-id"] == answer.json()["headers"]["x-request-id"]


def test_the_logs_are_rotated_and_nginx_writes_to_the_new_file(host):
    assert on(host, "systemctl is-enabled logrotate.timer").strip() == "enabled"
    on(host, "logrotate --force /etc/logrotate.d/nginx")
    answer = ask(host, "/")
    assert log_of(host, answer)["request_id"] == answer.headers["x-request-id"]
    assert host.file("/var/log/nginx/access.log.1").exists


FETCH = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=5)
connection.request("GET", sys.argv[2], headers={"Host": (sys.argv[3:] or ["127.0.80.80"])[0]})
print(connection.getresponse().read().decode())
"""


def told(host, address, path, *name):
    """What a program on the host hears at an address without TLS; empty when nobody answers it."""
    return host.run("python3 -c %s" + " %s" * (2 + len(name)), FETCH, address, path, *name).stdout


def test_the_counters_are_told_to_the_host_itself_and_not_where_others_reach_it(host):
    assert "Active connections" in told(host, "127.0.80.80", "/status")
    for address in ("127.0.0.1", on(host, "hostname -I").split()[0]):
        assert told(host, address, "/status") == ""
        assert "400" in told(host, address, "/status", "")
        assert "301" in told(host, address, "/status", "edge.example.com")
    # The path is the app's, for all others.
    for source in ("127.0.0.1", "127.9.0.1"):
        assert ask(host, "/status", source=source).json()["release"] == "one-1234"


def test_prometheus_is_told_them_by_an_exporter_that_listens_where_it_is_told(host):
    def counted():
        found = re.search(r"^nginx_http_requests_total (\d+)$", told(host, "127.0.0.1:9113", "/metrics"), re.MULTILINE)
        return int(found[1])

    before = counted()
    assert statuses(asked(host, "/healthz", clients=10)) == {200: 10}
    assert counted() >= before + 10
    assert told(host, on(host, "hostname -I").split()[0] + ":9113", "/metrics") == ""
    assert on(host, "systemctl is-enabled prometheus-nginx-exporter").strip() == "enabled"


def test_it_runs_in_its_sandbox_with_room_for_its_connections(host):
    master = on(host, "cat /run/nginx.pid").strip()
    status = dict(line.split(":\t", 1) for line in on(host, f"cat /proc/{master}/status").splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    within = f"nsenter --target {master} --mount"
    assert on(host, f"{within} findmnt -no OPTIONS --target /usr").startswith("ro")
    assert on(host, f"touch /tmp/of-others && {within} find /tmp /home /root -mindepth 1") == ""
    for unit in ("nginx", "prometheus-nginx-exporter"):
        report = on(host, f"systemd-analyze security --no-pager {unit}")
        assert float(re.search(r"exposure level for .*: ([\d.]+)", report)[1]) <= 2.5
    workers = on(host, "pgrep -f '^nginx: worker process$'").split()
    assert len(workers) == int(on(host, "nproc"))
    assert "9216" in on(host, f"grep 'open files' /proc/{workers[0]}/limits")


def test_it_is_started_again_when_it_is_killed(host):
    on(host, "kill -KILL $(cat /run/nginx.pid)")
    for _ in range(50):
        time.sleep(0.2)
        if ask(host, "/").status == 200:
            break
    assert ask(host, "/").status == 200
    assert int(on(host, "systemctl show --property=NRestarts --value nginx")) >= 1


# Clients connect again and again while Nginx starts, a few times; what became of those that were connected.
START = """
import collections, json, socket, subprocess, threading, time
seen, starting, over = collections.Counter(), threading.Event(), threading.Event()
asking = [False] * 8

def ask(number):
    while not over.is_set():
        asking[number] = False
        starting.wait()
        asking[number] = True
        if not starting.is_set():
            continue
        try:
            connection = socket.create_connection(("127.0.0.1", 80), 5)
        except OSError:
            continue
        try:
            connection.sendall(b"GET / HTTP/1.0\\r\\nHost: edge.example.com\\r\\n\\r\\n")
            seen["answered" if connection.recv(5) == b"HTTP/" else "closed"] += 1
        except OSError as error:
            seen[type(error).__name__] += 1
        connection.close()

threads = [threading.Thread(target=ask, args=[number]) for number in range(len(asking))]
[thread.start() for thread in threads]
for _ in range(10):
    while any(asking):
        time.sleep(0.01)
    subprocess.run(["systemctl", "stop", "nginx"], check=True)
    starting.set()
    subprocess.run(["systemctl", "start", "nginx"], check=True)
    time.sleep(0.2)
    starting.clear()
while any(asking):
    time.sleep(0.01)
over.set()
starting.set()
[thread.join() for thread in threads]
print(json.dumps(seen))
"""


def test_nobody_is_reset_who_connects_while_it_starts(host):
    assert set(json.loads(on(host, "python3 -c %s", START))) == {"answered"}


def test_json_is_what_a_program_reads(host):
    on(host, "nginx -s reopen")
    for line in on(host, "cat /var/log/nginx/access.log").splitlines():
        json.loads(line)
