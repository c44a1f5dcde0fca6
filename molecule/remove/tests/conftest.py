"""Inventories in which each of the hosts is complete."""

import pytest
import yaml
from hello import NAMES, make_source
from plays import ROOT

ADDRESSES = dict(zip(NAMES, ("198.18.25.12", "198.18.25.13"), strict=True))


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "hello"
    make_source(ROOT / "molecule" / "releases" / "app", folder)
    (folder / "edition.py").write_text('NAME = "one"\n')
    return folder


@pytest.fixture(scope="session")
def inventory(tmp_path_factory, source):
    """`inventory("shop", "blog")`: a file in which each server is complete, with these apps and variables."""

    def write(*apps, name="both", **variables):
        path = tmp_path_factory.mktemp("inventory") / f"{name}.yml"
        balancers = {host: {"ansible_host": address} for host, address in ADDRESSES.items()}
        more = {
            "blog": {
                "app_processes": [{"name": "mailer", "command": "sleep infinity", "count": 2}],
                "app_jobs": [{"name": "cleanup", "command": "true", "schedule": "daily"}],
            }
        }
        members = {
            f"{app}-{host}": {
                "ansible_host": address,
                "app_name": app,
                "app_domains": [f"{app}.example.com"],
                "app_entrypoint": "main:app",
                "app_source": {"folder": str(source)},
                **more.get(app, {}),
            }
            for app in apps
            for host, address in ADDRESSES.items()
        }
        groups = {
            "load_balancers": {"hosts": balancers},
            "redis_servers": {"hosts": balancers},
            "app_servers": {"hosts": members},
            "all": {
                "vars": {
                    "gunicorn_readiness_path": "/",
                    "gunicorn_workers": 1,
                    "nginx_rate_limit_mode": "disabled",
                    **variables,
                }
            },
        }
        path.write_text(yaml.safe_dump(groups))
        return str(path)

    return write
