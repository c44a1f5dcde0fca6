"""What is not the default: Mozilla's modern profile, and proxies that speak the PROXY protocol."""

import json
import os
import re
import subprocess

import pytest
from clients import ask
from test_nothing_breaks_it import converge
from test_scanners import compliance, scan

# What the command `ansible` prints of each host.
SAID = re.compile(r"^\S+ \| \w+ => (\{.*?^\})", re.DOTALL | re.MULTILINE)
FROM = "PROXY TCP4 198.51.100.7 127.0.0.1 50000 443\r\n"


@pytest.fixture(scope="module", autouse=True)
def _back_to_the_defaults(hosts):
    yield
    converge().succeeded()
    for host in hosts:
        assert ask(host, "/").status == 200


@pytest.fixture(scope="module")
def modern():
    converge(nginx_tls_profile="modern").succeeded()


@pytest.fixture(scope="module")
def proxied():
    converge(nginx_trusted_proxies_header="proxy_protocol").succeeded()


def test_mozilla_would_change_nothing_of_the_modern_profile_either(hosts, modern):
    # That wants a life of 90 days at most, which one of an authority has.
    for found in scan(hosts).values():
        assert compliance(found, "modern") == {"certificate_path_validation", "maximum_certificate_lifespan"}


def test_a_listed_proxy_says_by_the_proxy_protocol_who_the_client_is(hosts, proxied):
    for host in hosts:
        for source, client in (("127.9.0.1", "198.51.100.7"), ("127.0.0.1", "127.0.0.1")):
            heard = ask(host, "/", source=source, proxy=FROM).json()["headers"]
            assert heard["x-real-ip"] == heard["x-forwarded-for"] == client


def module(kind, **options):
    """Run a module of ours on all hosts, and return what each said."""
    inventory = os.environ["MOLECULE_INVENTORY_FILE"]
    command = ["ansible", "-i", inventory, "load_balancers", "--become", "--module-name"]
    command += [f"production.fastapi.{kind}", "--args", json.dumps({"domain": "edge.example.com", **options})]
    plain = {**os.environ, "ANSIBLE_FORCE_COLOR": "0"}
    done = subprocess.run(command, env=plain, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(said) for said in SAID.findall(done.stdout)]


def test_a_deploy_asks_by_the_proxy_protocol_too(hosts, proxied):
    assert [each["served"] for each in module("verify", path="/")] == [True] * len(hosts)
    assert [each["first"] for each in module("probe", name="edge")] == ["200"] * len(hosts)
    for each in module("probe", name="edge", state="stopped"):
        assert each["probe"]["requests"] > 0
        assert each["probe"]["failed"] == 0


def test_a_connection_without_the_proxy_protocol_gets_no_answer(hosts, proxied):
    for host in hosts:
        assert ask(host, "/", source="127.9.0.1").status == 0
