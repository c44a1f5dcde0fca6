"""Secrets are in no output: a real run of the roles, as talkative as Ansible can be, is searched for planted values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PLANTED = "pl4nted-s3cr3t"
HOST = {
    "distribution": "debian",
    "distribution_version": "12",
    "packages": {"python3-apt": "1"},
    "users": ["plantedapp", "plantedapp_"],
}
HOST["packages"] |= dict.fromkeys(("ca-certificates", "python3-pip-whl", "git"), "1")

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  connection: local
  roles: [production.fastapi.redis, production.fastapi.app, production.fastapi.gunicorn]
"""
INVENTORY = """
redis_servers: {hosts: {localhost: }}
"""


@pytest.mark.parametrize(
    ("source", "ends"),
    [({}, "failed=0"), ({"git": f"https://bot:{PLANTED}@127.0.0.1:1/shop.git"}, "app_source.git: https://")],
    ids=["that works", "that fails"],
)
def test_no_output_has_a_secret(tmp_path, source, ends):
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    variables = {
        "app_name": "plantedapp",
        "app_source": source,
        "app_environment": {"TOKEN": PLANTED, "DATABASE_URL": f"postgresql://shop:{PLANTED}@db/shop"},
        "app_files": {"account.json": {"private_key": PLANTED}, "key.pem": f"KEY {PLANTED}\n"},
        "redis_bind": "127.0.0.1:6379",
        "redis_password": f"{PLANTED} of Redis",
        "app_index_url": f"https://user:{PLANTED}@index.example.com/simple",
        "app_index_credentials": {"https://private.example.com/simple": {"username": "bot", "password": PLANTED}},
        "app_proxy": f"http://user:{PLANTED}@127.0.0.1:1",
        "app_install_options": ["--extra-index-url", f"https://{PLANTED}@other.example.com/"],
        "app_minimum_free_disk_mb": 0,
        "app_minimum_free_memory_mb": 0,
        "__fastapi_host": HOST,
        "ansible_python_interpreter": sys.executable,
    }
    (tmp_path / "vars.json").write_text(json.dumps(variables))
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        "-i",
        tmp_path / "hosts.yml",
        "-vvv",
        "--check",
        "--diff",
    ]
    finished = subprocess.run(
        [*command, "-e", f"@{tmp_path}/vars.json", str(tmp_path / "play.yml")],
        cwd=REPOSITORY,
        # Since ansible-core 2.21 what a module was given is shown only by request.
        env=os.environ
        | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCAL_TEMP": str(tmp_path), "ANSIBLE_INJECT_INVOCATION": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    output = finished.stdout + finished.stderr
    assert ends in output
    assert "module_args" in output
    assert PLANTED not in output
    if ends == "failed=0":
        for file in ("/etc/redis/redis.conf", "/etc/plantedapp/environment"):
            assert file in output, "a file with secrets was not part of the run"
