"""Which release answers through Nginx, asked of a real TLS server that several releases answer behind."""

from __future__ import annotations

import dataclasses
import http.server
import itertools
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from ansible_collections.production.fastapi.plugins.module_utils._deploy import verifying
from ansible_collections.production.fastapi.plugins.module_utils._deploy.probing_client import (
    PROBE_ADDRESS,
    VERIFY_ADDRESS,
    Target,
)
from ansible_collections.production.fastapi.plugins.module_utils._deploy.verifying import ask, problem_of, verify

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=shop.example.com"
    files = ["-keyout", folder / "key.pem", "-out", folder / "chain.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context


@contextmanager
def answering(context: ssl.SSLContext, *answers: tuple[int, str], asked: list[str] | None = None) -> Iterator[Target]:
    """A server that gives these answers in turn, a status and a release each, and the last one for ever."""
    rest = itertools.chain(answers, itertools.repeat(answers[-1]))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, release = next(rest)
            if asked is not None:
                asked.append(self.client_address[0])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if release:
                self.send_header("X-Release", release)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nothing to tell."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield target(server.server_address[1])
        server.shutdown()


def target(port: int) -> Target:
    return Target("127.0.0.1", port, "shop.example.com", "/healthz", timeout=5, header="X-Release")


def test_the_new_release_answers(server_context: ssl.SSLContext) -> None:
    with answering(server_context, (200, "two")) as nginx:
        assert verify(nginx, ["two"], successes=3, within=10) == ""


def test_what_was_good_once_has_to_be_good_so_often_in_a_row(server_context: ssl.SSLContext) -> None:
    with answering(server_context, (200, "two"), (200, "two"), (200, "one")) as nginx:
        assert verify(nginx, ["two"], successes=3, within=0) == "answered by release one"


def test_the_end_of_the_old_one_is_waited_for(server_context: ssl.SSLContext) -> None:
    with answering(server_context, (200, "one"), (502, ""), (404, "two")) as nginx:
        assert verify(nginx, ["two"], successes=3, within=30) == ""


def test_servers_with_different_pythons_have_different_names(server_context: ssl.SSLContext) -> None:
    with answering(server_context, (200, "two-a"), (200, "two-b")) as nginx:
        assert verify(nginx, ["two-a", "two-b"], successes=4, within=0) == ""


def test_without_a_release_any_will_do(server_context: ssl.SSLContext) -> None:
    with answering(server_context, (200, "one")) as nginx:
        assert verify(nginx, [], successes=1, within=0) == ""
    with answering(server_context, (404, "")) as nginx:
        assert verify(nginx, [], successes=1, within=0) == "answered 404, and no release of the app did"


def test_nobody_listens(server_context: ssl.SSLContext) -> None:
    with answering(server_context, (200, "one")) as nginx:
        pass
    assert ask(nginx) == ("refused", "")
    assert verify(nginx, ["one"], successes=1, within=0) == "gave no answer (refused)"


@pytest.mark.parametrize(
    ("kind", "release", "problem"),
    [("500", "two", "answered 500"), ("503", "", "answered 503"), ("timeout", "", "gave no answer (timeout)")],
)
def test_what_is_no_answer(kind: str, release: str, problem: str) -> None:
    assert problem_of(kind, release, ["two"]) == problem


# Who asks


def test_nginx_knows_who_asks_by_an_address_that_no_client_can_have() -> None:
    variables = yaml.safe_load((ROOT / "roles/nginx/vars/main.yml").read_text())
    assert (variables["__nginx_probe_address"], variables["__nginx_verify_address"]) == (PROBE_ADDRESS, VERIFY_ADDRESS)
    limits = (ROOT / "roles/nginx/templates/snippets/limits.conf.j2").read_text()
    assert "map $realip_remote_addr $fastapi_client_bucket" in limits, (
        "a header that a client sends changes $remote_addr"
    )


def test_the_question_comes_from_that_address(server_context: ssl.SSLContext) -> None:
    asked: list[str] = []
    with answering(server_context, (200, "one"), asked=asked) as nginx:
        assert ask(nginx) == ("200", "one")
        assert ask(dataclasses.replace(nginx, source=VERIFY_ADDRESS)) == ("200", "one")
    assert asked == [PROBE_ADDRESS, VERIFY_ADDRESS]


@pytest.mark.parametrize("address", ["10.0.0.5", "::1"])
def test_another_address_is_asked_from_whichever_the_kernel_chooses(address: str) -> None:
    assert dataclasses.replace(target(443), address=address).local_address is None


def test_an_older_nginx_that_limits_the_question_is_asked_again(
    server_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "LIMITED_INTERVAL", 0.01)
    limited = ((200, "two"), (429, ""), (200, "two"), (429, ""), (200, "two"))
    with answering(server_context, *limited, (500, "two")) as nginx:
        assert verify(nginx, ["two"], successes=3, within=5) == "", "what was good stays good"
    with answering(server_context, (429, "")) as nginx:
        assert verify(nginx, ["two"], successes=1, within=0) == "answered 429, and no release of the app did"
