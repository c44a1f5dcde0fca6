"""The load balancers, and the authority on a host of its own."""

import base64
import secrets
import subprocess
import time
from pathlib import Path

import pytest
from asking import on
from inside import host_in

# Names that the authority resolves, each to one of the load balancers.
NAMES = {"shop.test": "198.18.46.12", "www.shop.test": "198.18.46.12", "blog.test": "198.18.46.13"}
AUTHORITY = Path(__file__).parents[1] / "authority.sh"
# Of a client's account, and of who may change the zone wild.test.
SECRETS = {
    "eab": secrets.token_urlsafe(32),
    "tsig": base64.b64encode(secrets.token_bytes(32)).decode(),
}
BALANCERS = ("pf-certificates12", "pf-certificates13")


@pytest.fixture(scope="session")
def hosts():
    """The load balancers."""
    return {name: host_in(name) for name in BALANCERS}


@pytest.fixture(scope="session")
def authority(hosts, tmp_path_factory):
    """The host of the authority, whose CA the load balancers know."""
    host = host_in("pf-acme")
    subprocess.run(["docker", "cp", AUTHORITY, "pf-acme:/srv/authority.sh"], check=True, capture_output=True)
    for name, secret in SECRETS.items():
        on(host, f"printf %s {secret} >/srv/{name}")
    on(host, "sh /srv/authority.sh")
    for _ in range(50):
        if host.run("curl --silent --fail http://127.0.0.1:8055/ -d '{}'").exit_status in (0, 22):
            break
        time.sleep(0.1)
    for name, address in NAMES.items():
        on(
            host,
            "curl --silent --fail http://127.0.0.1:8055/add-a -d %s",
            f'{{"host": "{name}.", "addresses": ["{address}"]}}',
        )
    certificate = tmp_path_factory.mktemp("acme") / "ca.pem"
    certificate.write_text(on(host, "cat /srv/pebble/ca.pem"))
    for balancer, target in hosts.items():
        subprocess.run(
            ["docker", "cp", certificate, f"{balancer}:/etc/ssl/acme-ca.pem"], check=True, capture_output=True
        )
        on(target, "mkdir -p /srv/files && echo here >/srv/files/x")
    return host
