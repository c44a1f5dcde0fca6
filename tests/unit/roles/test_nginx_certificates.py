"""What the program on the host decides, and what is refused before it gets there, with real certificates."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.checks.certificates import certificate_problems

PROGRAM = Path(__file__).parents[3] / "roles" / "nginx" / "files" / "certificates.py"
AUTHORITY = "https://acme.example.com/directory"
DAY = 86400


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("site_certificates", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules["site_certificates"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make(tmp_path):
    """Make a certificate and its key; their paths."""

    def make_pair(name, days=90, domains=("shop.example.com",)):
        chain, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        names = ",".join(f"DNS:{domain}" for domain in domains)
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"]
        subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True)
        return chain, key

    return make_pair


def reason(program, chain, domains=("shop.example.com",), authority=AUTHORITY, after=0.0):
    site = program.Site("shop", list(domains), "letsencrypt")
    settings = program.Settings([site], AUTHORITY)
    certificate = program.read_certificate(chain)
    return program.reason_to_issue(certificate, authority, site, settings, time.time() + after)


@pytest.mark.parametrize("days", [6, 45, 90])
def test_a_certificate_of_any_life_is_renewed_when_two_thirds_of_it_are_over(program, make, days):
    chain, _key = make("shop", days)
    assert reason(program, chain, after=days * DAY * 0.65) == ""
    assert reason(program, chain, after=days * DAY * 0.68) == "two thirds of its life are over"


def test_changed_domains_and_another_authority_are_reasons_and_the_order_of_names_is_none(program, make):
    chain, _key = make("shop", domains=("shop.example.com", "www.shop.example.com"))
    assert reason(program, chain, domains=("www.shop.example.com", "Shop.example.com")) == ""
    assert reason(program, chain) == "the domains have changed"
    assert reason(program, chain, authority="https://staging.example.com") == "it is of another authority"


def test_the_host_refuses_a_pair_that_would_not_do(program, make):
    (chain, key), (_other, stranger) = make("shop"), make("stranger")
    now = time.time()
    assert program.problem_of_pair(chain, key, ["shop.example.com"], now) == ""
    assert "does not belong" in program.problem_of_pair(chain, stranger, ["shop.example.com"], now)
    assert "is not for blog.example.com" in program.problem_of_pair(chain, key, ["blog.example.com"], now)
    assert "has expired" in program.problem_of_pair(chain, key, ["shop.example.com"], now + 91 * DAY)


def files(chain, key, domain="shop.example.com"):
    return [{"name": "shop", "domains": [domain], "certificate_chain": str(chain), "certificate_key": str(key)}]


def test_files_of_the_controller_are_read_before_anything_changes(make, tmp_path):
    (chain, key), (other, stranger) = make("shop"), make("stranger")
    assert certificate_problems(files(chain, key), "files") == []
    (problem,) = certificate_problems(files(chain, stranger), "files")
    assert "does not belong to the first certificate" in problem
    (problem,) = certificate_problems(files(chain, key, "blog.example.com"), "files")
    assert "is not for blog.example.com" in problem
    (problem,) = certificate_problems(files(tmp_path / "none.pem", key), "files")
    assert "the controller has no file" in problem
    mixed = tmp_path / "mixed.pem"
    mixed.write_bytes(chain.read_bytes() + other.read_bytes())
    (problem,) = certificate_problems(files(mixed, key), "files")
    assert "out of order" in problem


@pytest.mark.parametrize("domain", ["*.example.com", "192.0.2.1", "localhost", "intranet", "a_b.example.com"])
def test_names_that_no_authority_could_check_are_refused(domain):
    site = {"name": "shop", "domains": [domain]}
    (problem,) = certificate_problems([site], "letsencrypt")
    assert domain in problem
    assert certificate_problems([{**site, "certificate": "self-signed"}], "letsencrypt") == []


def test_more_names_than_a_certificate_holds_are_refused_before_an_authority_is_asked():
    domains = [f"{number}.example.com" for number in range(101)]
    (problem,) = certificate_problems([{"name": "shop", "domains": domains}], "letsencrypt")
    assert problem.startswith("Site shop: it has 101 domains, and a certificate has at most 100; give some of them to")
    assert certificate_problems([{"name": "shop", "domains": domains[:100]}], "letsencrypt") == []
    assert certificate_problems([{"name": "shop", "domains": domains}], "self-signed") == []


def test_a_wildcard_is_proved_by_dns_and_an_address_is_not():
    assert certificate_problems([{"name": "shop", "domains": ["*.example.com"]}], "letsencrypt", True) == []
    assert len(certificate_problems([{"name": "shop", "domains": ["192.0.2.1"]}], "letsencrypt", True)) == 1


# What a server of others can do to the program, which runs as root


@pytest.fixture
def elsewhere():
    """`elsewhere(answer, then)`: the URL of a server that answers so, and then calls `then` with its connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(answer, then=lambda connection: None):
            def one():
                while True:
                    try:
                        connection, _address = server.accept()
                    except OSError:
                        return
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        connection.sendall(answer)
                        then(connection)

            threading.Thread(target=one, daemon=True).start()
            return f"http://127.0.0.1:{server.getsockname()[1]}/"

        yield serve


@pytest.mark.parametrize(
    "begun", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"], ids=["head", "body"]
)
def test_a_server_that_answers_a_byte_now_and_then_holds_up_no_other_site(program, elsewhere, monkeypatch, begun):
    def drip(connection):
        for _ in range(300):  # a minute, unless the other end closes
            time.sleep(0.2)
            connection.sendall(b"x")

    monkeypatch.setattr(program, "FETCH_TIMEOUT", 1)
    began = time.monotonic()
    with pytest.raises(program.CertificateError, match="no answer within 1 s"):
        program.fetch(elsewhere(begun, drip))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1/", "http://[::1]/", "http://localhost:6379/", "https://a.example:8443/", "ftp://a.example/"],
)
def test_nobody_is_led_where_no_authority_would_go(program, elsewhere, target):
    """A server that a domain points to by mistake could have root ask what listens on this host alone."""
    url = elsewhere(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
    with pytest.raises(program.CertificateError, match="where no authority follows"):
        program.fetch(url)


def test_what_another_server_calls_itself_is_shown_as_plain_text(program, elsewhere):
    url = elsewhere(b"HTTP/1.1 404 Not Found\r\nServer: \x1b[2Jevil" + b"x" * 500 + b"\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(program.CertificateError) as error:
        program.fetch(url)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 120


def test_what_was_looked_at_is_what_is_served(program, make, tmp_path, monkeypatch):
    """Files may lie where an app writes: it changes them after they were found to be right."""
    chain, key = make("shop")
    right = chain.read_text()
    look = program.problem_of_pair

    def look_and_lose(*arguments):
        found = look(*arguments)
        chain.write_text(right + "of another file that root alone can read")
        return found

    monkeypatch.setattr(program, "problem_of_pair", look_and_lose)
    monkeypatch.setattr(program.Store, "serve", lambda _store, _site: None)
    site = program.Site("shop", ["shop.example.com"], "files", str(chain), str(key))
    (tmp_path / "sites/shop").mkdir(parents=True)
    (tmp_path / "sites/shop/live").symlink_to("self-signed")
    program.bring_up_to_date(site, program.Store(program.Settings([site]), tmp_path / "sites"), time.time(), False)
    assert (tmp_path / "sites/shop/live/fullchain.pem").read_text() == right


@pytest.mark.parametrize("part", ["chain", "key"])
def test_a_pipe_in_place_of_a_file_holds_up_no_other_site(program, make, tmp_path, part):
    chain, key = make("shop")
    path = chain if part == "chain" else key
    path.unlink()
    os.mkfifo(path)
    site = program.Site("shop", ["shop.example.com"], "files", str(chain), str(key))
    with pytest.raises(program.CertificateError, match=f"{path} is not a file of a certificate or key"):
        program.bring_up_to_date(site, program.Store(program.Settings([site]), tmp_path), time.time(), False)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read: No such file"), ("no certificate", "(nginx_acme_ca_bundle) has no certificate")],
    ids=["not there", "something else"],
)
def test_a_wrong_bundle_is_a_sentence_and_certbot_is_not_asked(program, tmp_path, monkeypatch, content, says):
    bundle = tmp_path / "ca.pem"
    if content:
        bundle.write_text(content)
    monkeypatch.setattr(program, "run", lambda *command, **_options: pytest.fail(f"{command} was run"))
    site = program.Site("shop", ["shop.example.com"], "letsencrypt")
    with pytest.raises(program.CertificateError) as error:
        program.issue(site, program.Settings([site], AUTHORITY, str(bundle), preflight=False))
    assert f"{bundle} {says}" in str(error.value)


def test_a_bundle_with_a_certificate_is_the_one_that_certbot_trusts(program, make):
    chain, _key = make("ca")
    assert program.trusted(str(chain)) == str(chain)


def test_two_runs_are_not_at_it_together_and_who_waits_too_long_says_for_whom(program, monkeypatch, tmp_path):
    monkeypatch.setattr(program, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(program, "LOCK_TIMEOUT", 0)
    late = pytest.raises(SystemExit, match=f"^Process {os.getpid()} has looked after certificates")
    with program.alone(), late, program.alone():
        pytest.fail("both look after certificates")
    with program.alone():
        pass
