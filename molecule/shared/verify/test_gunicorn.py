"""Gunicorn on a host with at least one app with releases: what runs, how confined, what a reload or a crash costs."""

import json
import re
import time

import pytest

# Runs on the host: GETs over kept-alive connections to a Unix socket, each sent once; any status is an answer.
CLIENT = """
import http.client, json, select, socket, sys, threading, time
path, seconds, least = sys.argv[1], float(sys.argv[2]), int((sys.argv[3:] or ["0"])[0])
lost, statuses = [], []
def ask(pause):
    connection, end = http.client.HTTPConnection("localhost", timeout=40), time.monotonic() + seconds
    while time.monotonic() < end or len(statuses) < least and time.monotonic() < end + 120:
        try:
            if connection.sock and select.select([connection.sock], [], [], 0)[0]:
                connection.close()
            if not connection.sock:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(40)
                connection.sock.connect(path)
            connection.request("POST", "/", b"x")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        except (OSError, http.client.HTTPException) as error:
            lost.append(repr(error))
            connection.close()
        time.sleep(pause)
threads = [threading.Thread(target=ask, args=(0.002 * 4 ** number,)) for number in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps({"answered": len(statuses), "statuses": sorted(set(statuses)), "lost": lost}))
"""


def wait_for(condition, within=90):
    """Return as soon as the condition holds; fail after so many seconds: far more than a busy machine takes."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not true within {within} s"
        time.sleep(0.2)


class App:
    """An app with releases on the host."""

    def __init__(self, host, name):
        self.host = host
        self.name = name

    @property
    def release(self):
        return self.host.check_output(f"basename $(readlink /srv/{self.name}/current)")

    @property
    def unit(self):
        return f"{self.name}@{self.release}.service"

    @property
    def socket(self):
        return self.shown("Listen", f"{self.name}.socket").rsplit(" (", 1)[0]

    def shown(self, name, unit=None):
        return self.host.check_output(f"systemctl show --property={name} --value '{unit or self.unit}'")

    @property
    def master(self):
        return int(self.shown("MainPID"))

    @property
    def workers(self):
        return {int(pid) for pid in self.host.check_output(f"pgrep --parent {self.master}").split()}

    def load(self, seconds, meanwhile="true", least=1):
        """What became of the requests during these seconds, or until enough are answered; a command runs meanwhile."""
        client = f"python3 -c '{CLIENT}' {self.socket} {seconds} {least}"
        command = f"(sleep 1; {meanwhile}) >/dev/null 2>&1 & {client}; wait"
        return json.loads(self.host.check_output(command.replace("%", "%%")))

    def log(self):
        return self.host.check_output(f"journalctl --no-pager --output=cat --lines=30 --unit='{self.unit}'")


@pytest.fixture
def app(host):
    found = host.check_output("ls -d /srv/*/current").split()
    yield (one := App(host, found[0].split("/")[2]))
    print(one.log())  # pytest shows it when the test fails


@pytest.fixture
def on_unix_socket(app):
    if not app.socket.startswith("/"):
        pytest.skip("this app listens on TCP")


def test_the_live_release_alone_runs_and_starts_with_the_host(app, host):
    units = host.check_output(f"systemctl list-units --all --plain --no-legend --full '{app.name}@*' | cut -d' ' -f1")
    assert units.split() == [app.unit]
    assert host.service(app.unit).is_running
    assert host.service(app.unit).is_enabled
    assert host.service(f"{app.name}.socket").is_running
    assert host.service(f"{app.name}.socket").is_enabled


def test_the_socket_is_for_nginx_only(app, host, on_unix_socket):
    file = host.file(app.socket)
    assert (file.is_socket, file.user, file.group, file.mode) == (True, app.name, "www-data", 0o660)
    refused = host.run(f"setpriv --reuid=nobody --regid=nogroup --clear-groups python3 -c '{CLIENT}' {app.socket} 0.1")
    assert "PermissionError" in refused.stdout


def test_the_sandbox(app, host):
    report = host.check_output(f"systemd-analyze security --no-pager '{app.unit}'")
    assert float(re.search(r"exposure level for .*: ([\d.]+)", report)[1]) <= 2.0
    for pid in app.workers:
        status = host.file(f"/proc/{pid}/status").content_string
        assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
        assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
        assert host.file(f"/proc/{pid}").user == app.name
    mounts = dict(
        line.split() for line in host.check_output(f"cut -d' ' -f5,6 /proc/{app.master}/mountinfo").splitlines()
    )
    assert mounts["/"].startswith("ro,")
    writable = {path for path, options in mounts.items() if options.startswith("rw,")}
    kernel = tuple(f"/{folder}" for folder in ("dev", "proc", "sys"))
    assert {path for path in writable if not path.startswith(kernel)} == {"/tmp", "/var/tmp", f"/srv/{app.name}/shared"}


def test_what_keeps_the_socket_is_confined(app, host):
    report = host.check_output(f"systemd-analyze security --no-pager '{app.name}-socket.service'")
    assert float(re.search(r"exposure level for .*: ([\d.]+)", report)[1]) <= 2.5
    assert host.service(f"{app.name}-socket.service").is_running


def test_workers_are_uvicorn_with_uvloop_and_httptools(app, host):
    cores = int(host.check_output("nproc"))
    assert 1 <= len(app.workers) <= 2 * cores + 1
    for pid in app.workers:
        loaded = host.check_output(f"cat /proc/{pid}/maps")
        assert "uvloop/loop" in loaded
        assert "httptools/parser" in loaded


def test_nothing_but_the_configuration_configures_gunicorn(app, host):
    environment = host.check_output(f"tr '\\0' '\\n' </proc/{app.master}/environ")
    assert "GUNICORN_CMD_ARGS" not in environment
    assert f"PRODUCTION_FASTAPI_RELEASE={app.release}" in environment
    assert not host.file("/run/gunicorn").exists


def test_sums_of_secrets_are_for_root_only(app, host):
    for record in host.check_output(f"ls /run/{app.name}/*.started /run/{app.name}/*.reloaded").split():
        assert (host.file(record).user, host.file(record).mode) == ("root", 0o600)


def test_a_reload_takes_new_workers_and_loses_no_request(app, host, on_unix_socket):
    before, master = app.workers, app.master
    result = app.load(8, meanwhile=f"systemctl reload {app.unit}", least=201)
    assert result["lost"] == []
    assert result["answered"] > 200
    assert app.master == master
    wait_for(lambda: not app.workers & before)


def test_a_reload_of_a_broken_configuration_is_refused_and_the_old_workers_serve(app, host, on_unix_socket):
    file, kept = f"/etc/{app.name}/gunicorn.conf.py", f"/run/{app.name}/kept-by-the-test"
    before = app.workers
    host.check_output(f"cp --preserve {file} {kept} && echo 'raise RuntimeError(\"planted\")' >>{file}")
    try:
        assert host.run(f"systemctl reload {app.unit}").rc != 0
    finally:
        host.check_output(f"mv {kept} {file}")
    assert app.workers == before
    assert app.load(1)["lost"] == []
    host.check_output(f"systemctl reset-failed '{app.name}.check@*'")


def test_a_crashed_master_comes_back_and_waiting_requests_are_answered(app, host, on_unix_socket):
    before = app.master
    host.check_output(f"systemctl kill --signal=KILL --kill-whom=main {app.unit}")
    result = app.load(1)
    assert result["lost"] == []
    wait_for(lambda: app.master not in {0, before} and host.service(app.unit).is_running)


def test_a_crashed_worker_is_replaced(app, host):
    before = app.workers
    victim = min(before)
    host.check_output(f"kill -KILL {victim}")
    wait_for(lambda: victim not in app.workers and len(app.workers) == len(before))
