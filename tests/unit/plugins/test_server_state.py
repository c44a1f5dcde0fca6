"""What the module `server_state` reads of a server; members are real HTTP servers."""

from __future__ import annotations

import http.server
import json
import os
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._server import state as server_state


class Answers(http.server.BaseHTTPRequestHandler):
    """200 with a release for /healthz, 503 for all else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.send_header("X-Release", "abc")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None: ...


@pytest.fixture
def member():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_member_is_asked_as_nginx_asks_it(member, tmp_path):
    plain = (tmp_path / "shop.pem", "shop")
    answer = server_state.ask_member(member, "/healthz", 3, *plain)
    assert (answer["status"], answer["release"], answer["error"]) == (200, "abc", "")
    assert server_state.ask_member(member, "/other", 3, *plain)["status"] == 503


def test_members_that_are_away_have_an_error_and_cost_one_time_out(member, tmp_path):
    silent = http.server.socketserver.socket.socket()  # type: ignore[attr-defined]
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    away = f"127.0.0.1:{silent.getsockname()[1]}"
    began = time.monotonic()
    sites = {"shop": [member, away, f"unix:{tmp_path}/no.sock", away], "blog": [member]}
    found = server_state.ask_members(sites, "/healthz", 1, tmp_path)
    assert time.monotonic() - began < 8
    assert found["blog"][member]["status"] == 200
    answers = found["shop"]
    assert [answer["status"] for answer in answers.values()] == [200, 0, 0]
    assert answers[away]["error"] == "timed out"
    assert "No such file" in answers[f"unix:{tmp_path}/no.sock"]["error"]
    silent.close()


@pytest.fixture
def pair(tmp_path):
    """A certificate for the name shop, and its key."""
    chain, key = tmp_path / "shop.pem", tmp_path / "shop.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=shop"
    command += f" -addext subjectAltName=DNS:shop -keyout {key} -out {chain}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return chain, key


def test_a_member_with_tls_is_asked_over_tls_and_has_to_show_what_is_trusted(member, pair, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with_tls = f"127.0.0.1:{server.server_port}"
    answers = server_state.ask_members({"shop": [with_tls, member]}, "/healthz", 3, tmp_path)["shop"]
    assert (answers[with_tls]["status"], answers[member]["status"]) == (200, 0)
    assert "WRONG_VERSION_NUMBER" in answers[member]["error"].upper().replace(" ", "_")
    other = server_state.ask_member(with_tls, "/healthz", 3, pair[0], "blog")
    assert "certificate is not valid for 'blog'" in other["error"]
    server.shutdown()
    server.server_close()


def test_what_the_servers_of_a_site_show_is_looked_after_too(pair, tmp_path):
    (tmp_path / "etc/nginx/production.fastapi/upstreams").mkdir(parents=True)
    pair[0].rename(tmp_path / "etc/nginx/production.fastapi/upstreams/shop.pem")
    (tmp_path / "etc/ssl/sites/shop").mkdir(parents=True)
    found = server_state.certificates(tmp_path, ["shop", "blog"], time.time())
    assert (list(found), found["shop"]["error"] != "") == (["shop", "shop (its servers)"], True)
    own = found["shop (its servers)"]
    assert (own["days"], own["self_signed"]) == (1.0, False)


def test_a_certificate_tells_its_life_and_what_is_left(tmp_path):
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    subject = ["-subj", "/O=Some Authority/CN=a.example", "-addext", "subjectAltName=DNS:a.example,DNS:b.example"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "6", *files, *subject]
    subprocess.run(command, check=True, capture_output=True)
    state = server_state.certificate_state(tmp_path / "cert", time.time() + 86400)
    assert (state["days"], state["days_left"]) == (6.0, 5.0)
    assert state["self_signed"]
    assert state["issuer"] == "Some Authority"
    assert state["names"] == ["a.example", "b.example"]
    assert server_state.certificate_state(tmp_path / "none", 0)["error"]


def test_files_that_were_changed_or_removed_since_they_were_written(tmp_path):
    folder = tmp_path / "var/lib/production.fastapi"
    folder.mkdir(parents=True)
    for name in ("same", "changed", "removed"):
        (tmp_path / name).write_text("x")
    (folder / "nginx.json").write_text(
        json.dumps({"files": {f"/{name}": {} for name in ("same", "changed", "removed")}})
    )
    later = time.time() + 60
    os.utime(tmp_path / "changed", (later, later))
    (tmp_path / "removed").unlink()
    assert server_state.touched_by_hand(tmp_path) == ["/changed", "/removed"]


class Systemd(Host):
    """A host whose systemctl prints what a test wants."""

    printed = ""

    def systemctl(self, *arguments: str, timeout: float = 60) -> tuple[bool, str]:
        return True, type(self).printed


def test_failed_units(tmp_path):
    Systemd.printed = "shop@1.service loaded failed failed shop, release 1\nnginx.service loaded failed failed nginx\n"
    assert server_state.failed_units(Systemd(tmp_path)) == ["shop@1.service", "nginx.service"]


def test_an_address_that_the_server_holds(tmp_path):
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/fib_trie").write_text(
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.1\n        /32 host LOCAL\n"
        "     |-- 10.0.0.0\n        /24 link UNICAST\n"
    )
    host = Systemd(tmp_path)
    assert server_state.holds(host, "10.0.0.1")
    assert not server_state.holds(host, "10.0.0.0")
    assert not server_state.holds(host, "10.0.0.100")


def test_an_app_without_a_live_release(tmp_path):
    Systemd.printed = ""
    state = server_state.app_state(Systemd(tmp_path), "shop")
    assert (state["release"], state["state"], state["workers"]) == ("", "absent", 0)


def test_the_processes_of_an_app(tmp_path):
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for name in ("shop@.service", "shop.mailer-1@.service", "shop.cleanup.service"):
        (units / name).touch()
    began = int((time.monotonic() - 5) * 1_000_000)
    Systemd.printed = f"ActiveState=active\nNRestarts=18\nActiveEnterTimestampMonotonic={began}\n"
    found = server_state.process_states(Systemd(tmp_path), "shop", "1")
    assert list(found) == ["mailer-1"]
    assert (found["mailer-1"]["state"], found["mailer-1"]["restarts"]) == ("active", 18)
    assert found["mailer-1"]["up"] == pytest.approx(5, abs=3)
    assert server_state.process_states(Systemd(tmp_path), "shop", "") == {}


def test_this_machine_as_a_whole(member):
    Systemd.printed = "ActiveState=active\nMainPID=0\n"
    state = server_state.server_state(
        Systemd(Path("/")),
        apps=["no-such-app"],
        members={"s": [member]},
        path="/healthz",
        timeout=3,
        asked_at=time.time(),
    )
    assert state["sites"]["s"][member]["status"] == 200
    assert state["memory"]["total_mb"] > state["memory"]["available_mb"] > 0
    assert 0 <= state["disks"][0]["used_percent"] <= 100
    assert -5 < state["behind"] <= 0
    assert state["services"]["nginx"] == "active"
    json.dumps(state)
