"""What the gunicorn role writes, for the corner cases of its variables. Whether Gunicorn obeys is in tests/worker."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from conftest import examined, role_variables

Render = Callable[..., str]
FILES = Path(__file__).parents[3] / "roles/gunicorn/files"
WORKER = "one_more_at_most = int\n\n\nclass DrainWorker:\n    shutdown_grace = 3.0\n"


class Unit(configparser.RawConfigParser):
    """A unit file; a setting that stands there twice is a list."""

    def __init__(self, text: str) -> None:
        super().__init__(strict=False, delimiters=("=",))
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.text = text
        self.read_string(text)

    def every(self, setting: str) -> list[str]:
        return re.findall(rf"^{setting}=(.*)$", self.text, re.MULTILINE)


@pytest.fixture
def service(render: Render) -> Callable[..., Unit]:
    def make(check: bool = False, **variables: Any) -> Unit:
        item = {"unit": "shop.check", "check": True} if check else {"unit": "shop"}
        return Unit(
            render("gunicorn", "app@.service.j2", {"gunicorn_name": "shop", "__gunicorn_entry": item, **variables})
        )

    return make


@pytest.fixture
def config(render: Render, tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """The rendered gunicorn.conf.py, executed beside a worker class that does nothing."""

    def execute(**variables: Any) -> SimpleNamespace:
        (tmp_path / "drain_worker.py").write_text(WORKER)
        shutil.copy(FILES / "workers_for_host.py", tmp_path)
        file = tmp_path / "gunicorn.conf.py"
        file.write_text(render("gunicorn", "gunicorn.conf.py.j2", {"gunicorn_name": "shop", **variables}))
        names: dict[str, Any] = {"__file__": str(file), "__name__": "gunicorn_conf"}
        exec(compile(file.read_text(), str(file), "exec"), names)
        return SimpleNamespace(**names)

    return execute


@pytest.mark.parametrize("check", [False, True])
def test_the_programs_of_the_virtualenv_are_first_in_the_path(service: Any, check: bool) -> None:
    assert '"PATH=/srv/shop/releases/%i/venv/bin:' in service(check).every("Environment")[-1]


@pytest.mark.parametrize(
    ("policy", "cores", "memory", "workers"),
    [
        ("classic", 4, 8000, 9),
        ("async", 4, 8000, 5),
        ("7", 4, 8000, 7),
        ("async", 1, 8000, 2),
        ("classic", 16, 2560, 10),
        ("7", 4, 600, 2),
        ("async", 2, 100, 1),
        ("async", 2, -50, 1),
    ],
)
def test_worker_count(config: Any, policy: str, cores: int, memory: int, workers: int) -> None:
    assert config().worker_count(policy, cores, memory) == workers


def test_workers_that_do_not_fit_are_said(config: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config().worker_count("7", 4, 600)
    assert capsys.readouterr().err == (
        "gunicorn_workers (7) asks for 7 workers; 600 MiB hold 2 of gunicorn_worker_memory = 256 MiB.\n"
    )


def group(folder: Path, cpu: str, memory: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{cpu}\n")
    (folder / "memory.max").write_text(f"{memory}\n")


def test_control_groups_bound_cores_and_memory(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config()
    names = made.usable_cores.__globals__
    monkeypatch.setitem(names, "CGROUPS", tmp_path / "cgroup")
    own = Path("/proc/self/cgroup").read_text()
    inner = next((line[4:] for line in own.splitlines() if line.startswith("0::/")), "")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    group(tmp_path / "cgroup" / inner, "max 100000", "max")
    assert made.usable_cores() == 8
    group(tmp_path / "cgroup" / inner, "150000 100000", str(512 * 2**20))
    assert made.usable_cores() == 2
    assert made.usable_memory() == 512


def test_the_host_keeps_a_reserve_of_its_memory(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config()
    monkeypatch.setitem(made.usable_cores.__globals__, "CGROUPS", Path("/nowhere"))
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 1000 * 256, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert made.usable_memory() == 1000 - role_variables("gunicorn")["__gunicorn_memory_reserve"]


def test_the_group_around_ours_counts_too(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = config().cgroup_settings.__globals__
    monkeypatch.setitem(names, "CGROUPS", tmp_path)
    monkeypatch.setattr(Path, "read_text", lambda path: "0::/a/b\n" if path.name == "cgroup" else path.open().read())
    group(tmp_path / "a", "100000 100000", "1000")
    group(tmp_path / "a" / "b", "max 100000", "max")
    assert names["cgroup_settings"]("memory.max") == [["max"], ["1000"]]


def test_every_setting_reaches_the_configuration(config: Any) -> None:
    made = config(
        gunicorn_backlog=1,
        gunicorn_worker_connections=2,
        gunicorn_timeout=3,
        gunicorn_keepalive=4,
        gunicorn_max_requests=5,
        gunicorn_max_requests_jitter=6,
        gunicorn_limit_request_line=7,
        gunicorn_limit_request_fields=8,
        gunicorn_limit_request_field_size=9,
        gunicorn_graceful_timeout=10,
        gunicorn_drain_timeout=11,
        gunicorn_websocket_grace=12,
        gunicorn_readiness_path="/ready",
        gunicorn_log_level="info",
        gunicorn_access_log=True,
        gunicorn_bind="127.0.0.1:8000",
        gunicorn_workers=1,
        gunicorn_entrypoint="main:app",
        gunicorn_directory="/opt/legacy",
    )
    assert (made.backlog, made.worker_connections, made.timeout, made.keepalive) == (1, 2, 3, 4)
    assert (made.max_requests, made.max_requests_jitter) == (5, 6)
    assert (made.limit_request_line, made.limit_request_fields, made.limit_request_field_size) == (7, 8, 9)
    assert (made.Worker.request_grace, made.Worker.idle_grace, made.Worker.websocket_grace) == (10, 11, 12)
    assert made.graceful_timeout > 10 + 11
    assert (made.Worker.readiness_path, made.loglevel, made.accesslog) == ("/ready", "info", "-")
    assert (made.bind, made.workers, made.wsgi_app, made.chdir) == ("127.0.0.1:8000", 1, "main:app", "/opt/legacy")


def test_the_release_comes_before_the_variables(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODUCTION_FASTAPI_ENTRYPOINT", "shop.main:app")
    monkeypatch.setenv("PRODUCTION_FASTAPI_DIRECTORY", "/srv/shop/releases/1/src")
    made = config(gunicorn_entrypoint="other:app")
    assert (made.wsgi_app, made.chdir) == ("shop.main:app", "/srv/shop/releases/1/src")


def test_relative_folders_of_pythonpath_are_those_of_the_app(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", ["/usr/lib/python3"])
    monkeypatch.setenv("PYTHONPATH", "app:/opt/more::src/lib")
    monkeypatch.setenv("PRODUCTION_FASTAPI_DIRECTORY", "/srv/shop/releases/1/src")
    for _reload in range(2):
        config()
    ours = ["/srv/shop/releases/1/src/app", "/srv/shop/releases/1/src/src/lib"]
    assert sys.path == ["/usr/lib/python3", *ours]


def test_systemd_is_hidden_from_gunicorn_and_stays_so_after_a_reload(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.delenv("WORKER_NOTIFY_SOCKET", raising=False)
    environment = config().os.environ
    config()
    assert "NOTIFY_SOCKET" not in environment
    assert environment["WORKER_NOTIFY_SOCKET"] == "/run/notify"


@pytest.mark.parametrize(
    "lines",
    [
        "statsd_host = 'localhost:8125'",
        "def on_exit(server):\n    reload = True",
        "import os\nfrom pathlib import Path",
        "Worker.readiness_patience = 1",
        "reload = False",  # as the role has it
        "print(timeout == 1)  # reload = True",
    ],
)
def test_extra_config_is_heard(config: Any, lines: str) -> None:
    made = config(gunicorn_extra_config=lines)
    assert hasattr(made, "statsd_host") is lines.startswith("statsd_host")
    assert (made.threads, made.reload, made.preload_app, made.control_socket_disable) == (1, False, False, True)
    assert made.worker_tmp_dir == "/dev/shm"


def test_extra_config_may_ask_the_host(config: Any) -> None:
    made = config(gunicorn_extra_config="raw_env = [f'CORES={usable_cores()}', f'MEMORY={usable_memory()}']")
    assert made.raw_env == [f"CORES={made.usable_cores()}", f"MEMORY={made.usable_memory()}"]


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ("timeout = 7", "timeout"),
        ("threads = 8\nreload = True", "reload, threads"),
        ("if True:\n    preload_app = True", "preload_app"),
        ("workers: int = 9", "workers"),
        ("certfile = '/tls/shop.pem'", "certfile"),
        ("errorlog = '/var/log/x'", "errorlog"),
        ("from os import path as timeout", "timeout"),
        ("def nworkers_changed(server, new, old): pass", "nworkers_changed"),
        ("del timeout", "timeout"),
        ("for keepalive in range(3): pass", "keepalive"),
    ],
)
def test_extra_config_that_sets_what_the_role_sets_lets_nothing_start(config: Any, lines: str, names: str) -> None:
    with pytest.raises(SystemExit) as refused:
        config(gunicorn_extra_config=lines)
    assert refused.value.code == (
        f"gunicorn_extra_config sets {names}, which the role gunicorn sets itself; take these lines out, "
        "and use the variables of the role where it has one."
    )


@pytest.mark.parametrize(
    ("variables", "trusted"),
    [
        ({}, "*"),
        ({"gunicorn_trusted_proxies": ["10.0.0.0/8"]}, "10.0.0.0/8"),
        ({"gunicorn_bind": "10.0.0.5:8000"}, "127.0.0.1,::1"),
        (
            {
                "gunicorn_bind": "10.0.0.5:8000",
                "groups": {"load_balancers": ["192.0.2.1", "lb", "2001:db8::1"]},
                "hostvars": {"192.0.2.1": {}, "lb": {"ansible_host": "192.0.2.2"}, "2001:db8::1": {}},
            },
            "127.0.0.1,::1,192.0.2.1,192.0.2.2,2001:db8::1",
        ),
    ],
)
def test_trusted_proxies(config: Any, variables: dict[str, Any], trusted: str) -> None:
    assert config(**variables).forwarded_allow_ips == trusted


CLUSTER: dict[str, Any] = {
    "inventory_hostname": "app1",
    "groups": {"load_balancers": ["lb1", "lb2"], "app_servers": ["app1", "app2"]},
    "hostvars": {
        "lb1": {"ansible_host": "203.0.113.1", "private_address": "10.0.0.1"},
        "lb2": {"ansible_host": "10.0.0.2"},
        "app1": {"ansible_host": "10.0.0.5"},
        "app2": {"ansible_host": "10.0.0.6"},
    },
}


@pytest.mark.parametrize(
    ("variables", "allowed"),
    [
        ({}, "10.0.0.1 10.0.0.2"),
        ({"gunicorn_bind": "0.0.0.0:8000"}, "10.0.0.1 10.0.0.2"),
        ({"gunicorn_bind": "127.0.0.1:8000"}, "localhost 127.0.0.1"),
        ({"gunicorn_bind": "[2001:db8::5]:8000"}, "10.0.0.1 10.0.0.2"),
        # Other apps, those of the same host too, ask one that clients do not ask.
        ({"app_public": False}, "localhost 10.0.0.5 10.0.0.1 10.0.0.2 10.0.0.6"),
        ({"gunicorn_allowed_addresses": ["10.0.9.0/24"]}, "10.0.0.1 10.0.0.2 10.0.9.0/24"),
        # A monitor on the host itself.
        ({"gunicorn_allowed_addresses": ["10.0.0.5"]}, "10.0.0.1 10.0.0.2 10.0.0.5"),
        ({"gunicorn_trusted_proxies": ["192.0.2.0/24"]}, "192.0.2.0/24"),
        ({"gunicorn_trusted_proxies": ["*"]}, "any"),
        # A load balancer on the same machine, under another name of the inventory.
        ({"hostvars": {**CLUSTER["hostvars"], "lb2": {"ansible_host": "10.0.0.5"}}}, "localhost 10.0.0.5 10.0.0.1"),
        (
            {"gunicorn_bind": "0.0.0.0:8000", "groups": {"load_balancers": ["app1", "lb1"]}},
            "localhost 10.0.0.1",
        ),
        # Somebody else's proxy.
        ({"groups": {"app_servers": ["app1"]}}, "localhost 10.0.0.5"),
    ],
)
def test_only_those_that_a_tcp_address_serves_get_through(
    render: Render, variables: dict[str, Any], allowed: str
) -> None:
    access = Unit(render("gunicorn", "access.conf.j2", {**CLUSTER, "gunicorn_bind": "10.0.0.5:8000", **variables}))
    assert dict(access["Socket"]) == {"IPAddressDeny": "any", "IPAddressAllow": allowed}


# Units


def test_a_unix_socket_is_for_nginx_only(render: Render) -> None:
    unit = Unit(render("gunicorn", "app.socket.j2", {"gunicorn_name": "shop", "gunicorn_socket_group": "web"}))
    assert dict(unit["Socket"]) == {
        "ListenStream": "/run/shop/http.sock",
        "Backlog": "2048",
        "Service": "shop-socket.service",
        "SocketUser": "shop",
        "SocketGroup": "web",
        "SocketMode": "0660",
        "DirectoryMode": "0755",
        "RemoveOnStop": "yes",
    }


@pytest.mark.parametrize("bind", ["10.0.0.5:8000", "[2001:db8::5]:8000"])
def test_a_tcp_socket(render: Render, bind: str) -> None:
    unit = Unit(render("gunicorn", "app.socket.j2", {"gunicorn_name": "shop", "gunicorn_bind": bind}))
    assert unit["Socket"]["ListenStream"] == bind
    assert "SocketMode" not in unit["Socket"]


def test_on_tcp_root_asks_over_a_socket_of_its_own(render: Render, service: Any) -> None:
    values = {"gunicorn_name": "shop", "gunicorn_bind": "10.0.0.5:8000"}
    unit = Unit(render("gunicorn", "app.local.socket.j2", values))
    assert dict(unit["Socket"]) == {
        "ListenStream": "/run/shop/local.sock",
        "Service": "shop.local@socket.service",
        "SocketMode": "0600",
        "DirectoryMode": "0755",
        "RemoveOnStop": "yes",
    }
    assert unit["Unit"]["PartOf"] == "shop.socket"
    both, one = service(**values), service(gunicorn_name="shop")
    assert both["Service"]["Sockets"] == "shop.socket shop.local.socket"
    assert "shop-socket.service shop.local@socket.service" in both.every("Wants")
    assert "shop.socket shop.local.socket shop-socket.service shop.local@socket.service" in both["Unit"]["After"]
    assert one["Service"]["Sockets"] == "shop.socket"


def test_the_service(service: Any) -> None:
    unit = service()
    assert unit["Service"]["ExecStart"] == (
        "/srv/shop/releases/%i/venv/bin/gunicorn --config /etc/shop/gunicorn.conf.py"
    )
    assert (unit["Service"]["Sockets"], unit["Service"]["User"]) == ("shop.socket", "shop")
    assert unit.every("EnvironmentFile") == ["-/etc/shop/environment", "-/srv/shop/releases/%i/release.env"]
    assert unit.every("ExecReload")[0] == "+/etc/shop/try %i"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize(
    ("environment", "groups"),
    [
        ({}, []),
        ({"APP_REDIS_URL": "unix:///run/redis/redis-server.sock"}, ["redis"]),
        ({"APP_REDIS_URL": "redis://:secret@10.0.0.5:6379/0"}, []),
        ({"APP_REDIS_URL": "unix:///run/other.sock"}, []),
    ],
)
def test_the_app_is_in_the_group_of_redis_where_it_uses_the_socket(
    service: Any, environment: dict[str, str], groups: list[str]
) -> None:
    host = {"packages": {"redis-server": "5:7.0.15"}}
    for check in (False, True):
        unit = service(check=check, app_environment=environment, __fastapi_host=host)
        assert unit.every("SupplementaryGroups") == groups


def test_a_group_that_the_host_has_not_is_not_asked_for(service: Any) -> None:
    unit = service(app_environment={"APP_REDIS_URL": "unix:///run/redis/redis-server.sock"})
    assert unit.every("SupplementaryGroups") == []


def test_the_check_has_no_part_in_what_is_live(service: Any) -> None:
    unit = service(check=True)
    assert "Sockets" not in unit["Service"]
    assert "Requires" not in unit["Unit"]
    assert "Install" not in unit
    assert unit.every("ExecStartPre") == []
    assert "Restart" not in unit["Service"]
    sandbox = ("ProtectSystem", "User", "NoNewPrivileges", "CapabilityBoundingSet", "UMask")
    assert all(unit["Service"][name] == service()["Service"][name] for name in sandbox)


@pytest.fixture
def process(render: Render) -> Callable[..., Unit]:
    def make(systemd: int = 257, **variables: Any) -> Unit:
        item = {"unit": "mailer-1", "command": "python -m shop.mailer", "stop_timeout": 300}
        host = {"systemd_version": systemd, "packages": {"redis-server": "5:7.0.15"}}
        values = {"gunicorn_name": "shop", "__gunicorn_entry": item, "__fastapi_host": host, **variables}
        return Unit(render("gunicorn", "process@.service.j2", values))

    return make


def test_a_process_has_all_of_the_release_but_its_socket(service: Any, process: Any) -> None:
    options = {
        "app_environment": {"APP_REDIS_URL": "unix:///run/redis/redis-server.sock"},
        "gunicorn_memory_max": 512,
        "gunicorn_unit_extra_config": "Nice=5",
        "__fastapi_host": {"systemd_version": 257, "packages": {"redis-server": "5:7.0.15"}},
    }
    web, unit = service(**options), process(**options)
    of_the_web_server = {
        *("Type", "NotifyAccess", "TimeoutStartSec", "Sockets", "ExecStart", "ExecStartPre", "ExecReload"),
        *("SyslogIdentifier", "TimeoutStopSec", "OOMPolicy"),
    }
    shared = set(web["Service"]) - of_the_web_server
    assert {"User", "SupplementaryGroups", "MemoryMax", "Nice", "ProtectSystem", "LimitNOFILE"} <= shared
    # That of the process has its path besides.
    assert all(set(web.every(name)) <= set(unit.every(name)) for name in shared)


def test_a_process_runs_in_the_folder_and_with_the_programs_of_its_release(process: Any) -> None:
    unit = process()
    assert unit["Service"]["ExecStart"] == "/usr/bin/env --chdir=${PRODUCTION_FASTAPI_DIRECTORY} python -m shop.mailer"
    assert '"PATH=/srv/shop/releases/%i/venv/bin:' in unit.every("Environment")[-1]
    assert unit["Service"]["ExecStartPre"].split()[1:] == [
        "mailer-1.%i.started",
        "/etc/shop/environment",
        "/etc/systemd/system/shop.mailer-1@.service",
    ]
    assert (unit["Service"]["Restart"], unit["Service"]["TimeoutStopSec"]) == ("always", "300")


@pytest.mark.parametrize(("systemd", "delay"), [(252, []), (257, ["60"])])
def test_a_process_that_keeps_ending_is_tried_less_and_less_often_where_systemd_can(
    process: Any, systemd: int, delay: list[str]
) -> None:
    assert process(systemd=systemd).every("RestartMaxDelaySec") == delay


def test_a_job_runs_in_the_live_release_and_is_made_up_for(render: Render) -> None:
    item = {"name": "cleanup", "command": '"a b"', "timeout": 60, "schedule": "*-*-* 03:00:00", "jitter": 600}
    values = {"gunicorn_name": "shop", "__gunicorn_entry": item}
    unit = Unit(render("gunicorn", "job.service.j2", values))
    timer = Unit(render("gunicorn", "job.timer.j2", values))
    assert unit["Service"]["ExecStart"] == '/etc/shop/run --job cleanup --timeout 60 current "a b"'
    assert unit["Service"]["Type"] == "oneshot"
    assert dict(timer["Timer"]) == {
        "OnCalendar": "*-*-* 03:00:00",
        "RandomizedDelaySec": "600",
        "Persistent": "yes",
    }


@pytest.mark.parametrize(("server", "jobs"), [("one", ["cleanup"]), ("two", []), ("other", ["cleanup"])])
def test_the_first_server_of_the_app_in_the_inventory_runs_its_jobs(server: str, jobs: list[str]) -> None:
    values = {
        "gunicorn_name": "shop",
        "gunicorn_jobs": [{"name": "cleanup", "command": "true", "schedule": "daily"}],
        "inventory_hostname": server,
        "groups": {"app_servers": ["else", "one", "two"]},
        "hostvars": {"else": {"app_name": "payments"}, "one": {"app_name": "shop"}, "two": {"app_name": "shop"}},
    }
    if server == "other":
        values["groups"] = {}
    assert [job["name"] for job in examined("gunicorn", values).derived["jobs"]] == jobs


def test_systemd_waits_longer_than_gunicorn_and_gunicorn_longer_than_the_worker(service: Any, config: Any) -> None:
    times = {"gunicorn_graceful_timeout": 300, "gunicorn_drain_timeout": 20}
    gunicorn = config(**times).graceful_timeout
    assert 300 + 20 < gunicorn < int(service(**times)["Service"]["TimeoutStopSec"])


@pytest.mark.parametrize(
    ("variables", "home"),
    [
        ({}, "yes"),
        ({"gunicorn_directory": "/home/ann/app"}, "read-only"),
        ({"gunicorn_virtualenv": "/root/venv"}, "read-only"),
        ({"gunicorn_directory": "/srv/home/app"}, "yes"),
    ],
)
def test_home_directories(service: Any, variables: dict[str, str], home: str) -> None:
    assert service(**variables)["Service"]["ProtectHome"] == home


def test_what_the_sandbox_leaves_open(service: Any) -> None:
    unit = service(gunicorn_writable_folders=["/srv/shop/shared", "/var/spool/shop"])
    assert unit.every("ReadWritePaths") == ["-/srv/shop/shared", "-/var/spool/shop"]
    assert service(gunicorn_writable_folders=[]).every("ReadWritePaths") == []


def test_memory_limit_and_extra_lines(service: Any) -> None:
    assert "MemoryMax" not in service()["Service"]
    unit = service(gunicorn_memory_max=512, gunicorn_unit_extra_config="Nice=5\nCPUQuota=50%")
    assert (unit["Service"]["MemoryMax"], unit["Service"]["Nice"], unit["Service"]["CPUQuota"]) == ("512M", "5", "50%")


@pytest.mark.parametrize("template", ["record.sh.j2", "try.sh.j2"])
def test_scripts_are_shell(render: Render, tmp_path: Path, template: str) -> None:
    (tmp_path / "script").write_text(render("gunicorn", template))
    subprocess.run(["sh", "-n", str(tmp_path / "script")], check=True)


@pytest.mark.parametrize(("told", "tried"), [({}, ["one"]), ({"__gunicorn_tries": False}, [])])
def test_a_release_whose_migration_is_still_to_come_is_not_tried(
    tmp_path: Path, told: dict[str, bool], tried: list[str]
) -> None:
    variables = yaml.safe_load((Path(__file__).parents[3] / "roles/gunicorn/vars/main.yml").read_text())
    script = tmp_path / "try"
    script.write_text(f"#!/bin/sh\n# @GENERATION@\necho $1 >{tmp_path}/tried\n")
    script.chmod(0o755)
    given = {"__gunicorn_config_folder": str(tmp_path), "gunicorn_release": "one", **told}
    words = [jinja2.Template(word).render(given) for word in variables["__gunicorn_apply"][-1]["command"]]
    subprocess.run(words, check=True)
    assert [line for path in tmp_path.glob("tried") for line in path.read_text().split()] == tried


def test_a_program_beside_the_configuration_is_written_tried_and_watched(render: Render) -> None:
    static = [{"url": "/assets/", "folder": "dist", "immutable": True}]
    variables = {"gunicorn_name": "shop", "app_source": {"folder": "shop"}, "app_static": static}
    loaded = re.findall(r'with_name\("(.+?)"\)', render("gunicorn", "gunicorn.conf.py.j2", variables))
    assert len(loaded) == len(list(FILES.glob("*.py"))) - len({"run", "schema", "standby"})
    role = role_variables("gunicorn")
    folder = "{{ __gunicorn_config_folder }}"
    paths = {f"{folder}/{file}" for file in ["gunicorn.conf.py", *loaded]}
    assert paths == {path for path in role["__gunicorn_reload_files"] if path.endswith(".py")}
    assert {f"{folder}/{file}": file for file in loaded}.items() <= {
        entry["dest"]: entry.get("src") for entry in role["__gunicorn_files"]
    }.items()
    tried = examined("gunicorn", variables).derived["validate"][0]["command"]
    assert {path.replace("{stage}/etc/shop", folder) for path in tried if path.startswith("{stage}")} == paths


def test_every_file_says_who_wrote_it(render: Render) -> None:
    folder = Path(__file__).parents[3] / "roles/gunicorn/templates"
    item = {"unit": "shop", "name": "cleanup", "command": "true", "stop_timeout": 1, "timeout": 1, "schedule": "daily"}
    kept = {"socket": "shop", "record": "socket.started"}
    for template in folder.glob("*.j2"):
        text = render("gunicorn", template.name, {"__gunicorn_entry": {**item, **kept, "jitter": 0}})
        top = "\n".join(text.splitlines()[:2])
        assert "Ansible managed: role production.fastapi.gunicorn" in top, template


def supported() -> dict[str, tuple[str, str]]:
    """The lowest version of each package that the worker takes, and the first one that is too new."""
    source = (FILES / "drain_worker.py").read_text()
    names: dict[str, Any] = {}
    exec(re.search(r"^SUPPORTED = .*$", source, re.MULTILINE)[0], names)  # type: ignore[index]
    return names["SUPPORTED"]  # type: ignore[no-any-return]


def test_the_app_role_installs_what_the_worker_takes() -> None:
    root = Path(__file__).parents[3] / "roles"
    installed = yaml.safe_load((root / "app/vars/main.yml").read_text())["__app_stack_requirements"]
    wanted = {f"{package}>={lowest},<{too_new}" for package, (lowest, too_new) in supported().items()}
    assert wanted <= set(installed)


def test_the_worker_is_tried_with_the_lowest_versions_that_it_takes() -> None:
    locked = (Path(__file__).parents[2] / "worker/lowest.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", locked, re.MULTILINE))
    assert {package: re.sub(r"([.]0)+$", "", version) for package, version in pins.items()} == {
        package: lowest for package, (lowest, _) in supported().items()
    }


def test_the_app_has_the_files_of_all_releases_behind_it(config: Any, tmp_path: Path) -> None:
    (tmp_path / "kept_files.py").write_text("def KeptFiles(app, folders): return app, folders\n")
    static = [{"url": "/assets/", "folder": "dist", "immutable": True}, {"url": "/static/", "folder": "static"}]
    for given in (static, json.dumps(static)):
        made = config(app_static=given, app_source={"folder": "shop"})
        assert made.Worker.around_app("app") == ("app", {"/assets/": "/srv/shop/public/kept/dist"})
    for others in ({"app_static": static[1:]}, {"app_static": static, "gunicorn_directory": "/srv/legacy"}, {}):
        assert "kept_files" not in vars(config(**others))


def test_settings_of_an_ini_inventory_are_what_they_mean(render: Render, config: Any) -> None:
    given = {"gunicorn_access_log": "no", "gunicorn_backlog": "512", "gunicorn_bind": "10.0.0.5:8000"}
    made = config(**given, gunicorn_trusted_proxies="10.0.0.8, 10.0.0.9")
    assert (made.accesslog, made.backlog, made.forwarded_allow_ips) == (None, 512, "10.0.0.8,10.0.0.9")
    unit = render("gunicorn", "unit/sandbox.j2", {"gunicorn_writable_folders": "/srv/a, /srv/b"})
    assert "ReadWritePaths=/srv/a /srv/b" in unit or "/srv/a\n" in unit, unit


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"gunicorn_configured": {"changed": False}}, {"live": "one"}),
        ({"gunicorn_configured": {"changed": False}, "__gunicorn_deploy": ""}, {"live": "one"}),
        # Files have changed since, or it is not known whether they have.
        ({"gunicorn_configured": {"changed": True}}, {}),
        ({}, {}),
        # The way back of a deploy must not take the release before for live.
        ({"gunicorn_configured": {"changed": False}, "__gunicorn_deploy": "1d"}, {}),
        ({"gunicorn_configured": {"changed": False}, "__fastapi_host": {"standing": {}}}, {}),
    ],
)
def test_what_was_seen_of_an_app_holds_until_something_changes(known: dict[str, Any], expected: Any) -> None:
    host = {"standing": {"shop": {"live": "one"}}}
    variables = role_variables("gunicorn") | {"gunicorn_name": "shop", "__fastapi_host": host} | known
    assert Templar(DataLoader(), variables).template(variables["__gunicorn_standing"]) == expected
