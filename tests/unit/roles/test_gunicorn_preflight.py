"""Bad values of the gunicorn role's variables: one clear sentence each, and none for good ones."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import examined

HOST = {"distribution": "debian", "distribution_version": "13", "users": ["root", "shop"]}


def problems(**variables: Any) -> list[str]:
    seen = variables.pop("seen", {})
    values = {"gunicorn_name": "shop", "__fastapi_host": HOST, **variables}
    found: list[str] = examined("gunicorn", values, **seen).problems
    return found


ALONE = {
    "gunicorn_directory": "/opt/legacy",
    "gunicorn_virtualenv": "/opt/legacy/venv",
    "gunicorn_entrypoint": "main:app",
}

# Their Nginx keeps an idle connection for 2 s.
BALANCERS = {"groups": {"load_balancers": ["lb1", "lb2"]}, "hostvars": {"lb1": {}, "lb2": {}}}

MAILER = {"name": "mailer", "command": "python -m shop.mailer"}
CLEANUP = {"name": "cleanup", "command": "python -m shop.cleanup", "schedule": "daily"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"gunicorn_workers": "classic"},
        {"gunicorn_workers": 1},
        {"gunicorn_bind": "0.0.0.0:80"},
        {"gunicorn_bind": "[::]:65535"},
        {"gunicorn_bind": "unix:/run/other/x.sock"},
        {"gunicorn_max_requests": 0},
        {"gunicorn_drain_timeout": 0},
        {"gunicorn_keepalive": 30, **BALANCERS},
        {"gunicorn_entrypoint": "shop.main:create.app"},
        {"app_request_timeout": 30},
        {"app_environment": {"A_1": "x", "b": 1, "C": True, "D": "", "E": "tab\there", "F": "two\nlines\n"}},
        {"gunicorn_release": "4f2a9c01d3e5-8b1c.2"},
        {"app_processes": [{"name": "mailer", "command": "python -m shop.mailer", "count": 0, "stop_timeout": 300}]},
        {"app_jobs": [{"name": "cleanup", "command": "sh -c 'a; b'", "schedule": "daily", "servers": "all"}]},
        ALONE,
    ],
)
def test_good_values(variables: dict[str, Any]) -> None:
    assert problems(**variables) == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"gunicorn_tls_certificate": "/tls/shop.pem", "gunicorn_bind": "10.0.0.5:8000"},
            "gunicorn_tls_certificate and gunicorn_tls_key belong together; set both, or none.",
        ),
        ({"gunicorn_workers": "many"}, 'gunicorn_workers is "many"; write async'),
        ({"gunicorn_workers": 0}, 'gunicorn_workers is "0"; write async'),
        ({"app_environment": {"A-B": "x", "1C": "y"}}, "A-B, 1C can be no name of a variable; use"),
        (
            {"app_environment": {"PRODUCTION_FASTAPI_NAME": "x"}},
            "PRODUCTION_FASTAPI_NAME is set by the roles; use another name",
        ),
        ({"app_files": ["a"]}, "gunicorn_files is not what it should be; write a dictionary, such as {name: value}."),
        ({"app_files": {"a/b": "s3cr3t"}}, "a/b can be no name of a file; use a-z"),
        ({"app_files": {"..": "s3cr3t"}}, ".. can be no name of a file; use a-z"),
        ({"app_files": {"key.pem": None}}, 'key.pem has no content; write "" for an empty file'),
        ({"app_environment": {"KEY": "s3cr3t\rline"}}, "the value of KEY has a control character or a structure"),
        ({"app_environment": {"KEY": ["s3cr3t"]}}, "the value of KEY has a control character or a structure"),
        ({"app_environment": {"KEY": {"a": "s3cr3t"}}}, "the value of KEY has a control character or a structure"),
        ({"app_environment": {"KEY": None}}, 'KEY has no value; write "" for an empty text'),
        ({"gunicorn_workers": -2}, 'gunicorn_workers is "-2"; write async'),
        ({"gunicorn_workers": 2.5}, 'gunicorn_workers is "2.5"; write async'),
        ({"gunicorn_name": "Shop"}, 'gunicorn_name is "Shop"; write a lower-case letter'),
        ({"gunicorn_release": "../x"}, 'gunicorn_release is "../x"; write'),
        (
            {
                "gunicorn_bind": "10.0.0.5:80",
                "groups": {"load_balancers": ["lb1"]},
                "hostvars": {"lb1": {"ansible_host": "lb.test"}},
            },
            "the inventory has no IP address of lb.test; set private_address of that host to the IP address",
        ),
        ({"gunicorn_allowed_addresses": ["monitor"]}, "gunicorn_allowed_addresses has monitor; write IP addresses"),
        ({"gunicorn_bind": "8000"}, 'gunicorn_bind is "8000"; write unix:/PATH or ADDRESS:PORT'),
        ({"gunicorn_bind": "localhost:8000"}, 'gunicorn_bind is "localhost:8000"; write'),
        ({"gunicorn_bind": "10.0.0.5:0"}, 'gunicorn_bind is "10.0.0.5:0"; write'),
        ({"gunicorn_bind": "10.0.0.5:70000"}, 'gunicorn_bind is "10.0.0.5:70000"; write'),
        ({"gunicorn_bind": "unix:run/x"}, 'gunicorn_bind is "unix:run/x"; write'),
        ({"gunicorn_backlog": 0}, 'gunicorn_backlog is "0"; write a whole number from 1 to 65535.'),
        ({"gunicorn_max_requests": -1}, 'gunicorn_max_requests is "-1"; write a whole number from 0'),
        ({"gunicorn_limit_request_line": 9000}, '_line is "9000"; write a whole number from 1 to 8190.'),
        ({"gunicorn_worker_memory": 0}, 'gunicorn_worker_memory is "0"'),
        ({"gunicorn_readiness_path": "ready"}, 'gunicorn_readiness_path is "ready"; write a path such as /ready'),
        ({"gunicorn_readiness_path": "/ready?deep=1"}, "without a query"),
        ({"gunicorn_directory": "relative/%i"}, 'gunicorn_directory is "relative/%i"'),
        ({"gunicorn_writable_folders": ["data"]}, 'gunicorn_writable_folders is ["data"]; write absolute paths'),
        ({"gunicorn_entrypoint": "main"}, 'gunicorn_entrypoint is "main"; write MODULE:ATTRIBUTE'),
        ({"gunicorn_entrypoint": "main:app(1)"}, "write MODULE:ATTRIBUTE"),
        ({**ALONE, "gunicorn_entrypoint": ""}, "gunicorn_entrypoint is empty; write MODULE:ATTRIBUTE"),
        ({**ALONE, "__fastapi_host": {**HOST, "users": ["root"]}}, 'The user "shop" does not exist; make it, or set'),
        (
            {**ALONE, "seen": {"gunicorn": False}},
            "There is no /opt/legacy/venv/bin/gunicorn; set gunicorn_virtualenv",
        ),
        (
            {"app_request_timeout": 120, "gunicorn_graceful_timeout": 200},
            "app_request_timeout (120 s) must be below gunicorn_timeout (120 s); raise",
        ),
        (
            {"app_request_timeout": 60},
            "app_request_timeout (60 s) must not be above gunicorn_graceful_timeout (30 s), or a reload cuts",
        ),
        ({"gunicorn_websocket_grace": 31}, "websocket_grace (31 s) must not be above gunicorn_graceful"),
        ({"gunicorn_keepalive": 60}, "gunicorn_keepalive (60 s) must be above the 60 s for which Nginx keeps idle"),
        (
            {"gunicorn_keepalive": 2, **BALANCERS},
            "gunicorn_keepalive (2 s) must be above the 2 s for which Nginx keeps idle connections, or requests arrive",
        ),
        (
            {
                "gunicorn_keepalive": 30,
                **BALANCERS,
                "hostvars": {"lb1": {}, "lb2": {"nginx_upstream_keepalive_timeout": "30"}},
            },
            "gunicorn_keepalive (30 s) must be above the 30 s for which Nginx keeps idle connections, or requests "
            "arrive on closed ones; write 45 or more.",
        ),
        (
            {"__fastapi_host": {**HOST, "systemd_version": 247}},
            "The host runs debian 13, whose systemd is 247, and 252",
        ),
        ({"gunicorn_bind": "300.0.0.5:80"}, 'gunicorn_bind is "300.0.0.5:80"; write unix:/PATH or ADDRESS:PORT'),
        ({"gunicorn_allowed_addresses": ["10.0.0.0/99"]}, "gunicorn_allowed_addresses has 10.0.0.0/99; write IP"),
        ({"gunicorn_entrypoint": "a..b:c"}, 'gunicorn_entrypoint is "a..b:c"; write MODULE:ATTRIBUTE'),
        ({"app_processes": {"name": "mailer"}}, 'gunicorn_processes is {"name": "mailer"}; write a list, such as [one'),
        ({"app_processes": ["mailer"]}, "app_processes is not a list of dictionaries; write one, each with name"),
        (
            {"app_processes": [MAILER | {"name": "Mailer"}]},
            'app_processes, entry 1: name is "Mailer"; write a lower-case',
        ),
        ({"app_jobs": [CLEANUP | {"name": "run-7"}]}, 'app_jobs, entry 1: name is "run-7"; write'),
        ({"app_processes": [{"name": "mailer"}]}, "app_processes, entry 1: command is missing; write one such as"),
        ({"app_processes": [MAILER | {"command": "a\nb"}]}, "entry 1: command has a line break"),
        ({"app_processes": [MAILER | {"command": "a 'b"}]}, "entry 1: command has a quote that is not closed: a 'b"),
        ({"app_processes": [MAILER, MAILER]}, "have mailer 2 times; give each a name"),
        ({"app_processes": [MAILER | {"count": -1}]}, 'count is "-1"; write a whole number from 0 to 100.'),
        ({"app_processes": [MAILER | {"count": 1.5}]}, 'count is "1.5"; write a whole number from 0 to 100.'),
        (
            {"app_processes": [MAILER | {"stop_timeout": 0}]},
            'stop_timeout is "0"; write a whole number from 1 to 3600.',
        ),
        (
            {"app_processes": [MAILER | {"number": 2}]},
            "there is no key number; write one of name, command, count, stop",
        ),
        ({"app_processes": [MAILER], "app_jobs": [CLEANUP | {"name": "mailer"}]}, "have mailer 2 times"),
        ({"app_jobs": [{"name": "cleanup", "command": "true"}]}, "app_jobs, entry 1: schedule is missing"),
        ({"app_jobs": [CLEANUP | {"schedule": "daily\nOnBootSec=1"}]}, "schedule is missing or no single line"),
        ({"app_jobs": [CLEANUP | {"timeout": "1h"}]}, 'timeout is "1h"; write a whole number from 1 to 86400.'),
        ({"app_jobs": [CLEANUP | {"jitter": -1}]}, 'jitter is "-1"; write a whole number from 0 to 86400.'),
        ({"app_jobs": [CLEANUP | {"servers": "some"}]}, 'servers is "some"; write first (one server of the app runs'),
    ],
)
def test_bad_values(variables: dict[str, Any], sentence: str) -> None:
    (found,) = problems(**variables)
    assert sentence in found


def test_a_certificate_is_for_the_network_and_with_a_key_of_its_own(tmp_path: Path) -> None:
    for name in ("shop", "blog"):
        command = (
            f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={name} -addext subjectAltName=DNS:{name}"
        )
        files = f" -keyout {tmp_path}/{name}.key -out {tmp_path}/{name}.pem"
        subprocess.run((command + files).split(), check=True, capture_output=True)
    shop = {"gunicorn_tls_certificate": f"{tmp_path}/shop.pem", "gunicorn_tls_key": f"{tmp_path}/shop.key"}
    address = {"gunicorn_bind": "10.0.0.5:8000"}
    assert problems(**shop, **address) == []
    (problem,) = problems(**shop)
    assert (
        "is for a connection over the network, but gunicorn_bind is unix:/run/shop/http.sock; set gunicorn_bind"
        in problem
    )
    (problem,) = problems(**shop | {"gunicorn_tls_key": f"{tmp_path}/blog.key"}, **address)
    assert f"the key {tmp_path}/blog.key does not belong to the first certificate in {tmp_path}/shop.pem" in problem
    (problem,) = problems(**shop, **address, gunicorn_name="blog")
    assert f"the certificate {tmp_path}/shop.pem is not for blog" in problem
    (problem,) = problems(**shop | {"gunicorn_tls_key": "/none.key"}, **address)
    assert "gunicorn_tls_certificate: the controller has no file /none.key; write" in problem
    signed = f"openssl req -new -x509 -days 1 -subj /CN=shop -addext subjectAltName=DNS:shop -key {tmp_path}/shop.key"
    signed += f" -CA {tmp_path}/blog.pem -CAkey {tmp_path}/blog.key -out {tmp_path}/signed.pem"
    subprocess.run(signed.split(), check=True, capture_output=True)
    (problem,) = problems(**shop | {"gunicorn_tls_certificate": f"{tmp_path}/signed.pem"}, **address)
    assert "signed.pem has no certificate of CN=blog, which has issued one in it; add it, up to the one that" in problem
    # As for a replacement: whom the load balancers trust besides.
    (tmp_path / "shop.pem").write_text((tmp_path / "shop.pem").read_text() + (tmp_path / "blog.pem").read_text())
    assert problems(**shop, **address) == []


def test_all_problems_are_told_at_once() -> None:
    assert len(problems(gunicorn_workers=0, gunicorn_backlog=0, gunicorn_entrypoint="main")) == 3
