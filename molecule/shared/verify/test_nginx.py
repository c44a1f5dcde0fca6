"""Nginx as clients and the app see it, on a host that has at least one site with static files.

What needs an app that tells what it received is asked of a site of our own: a copy of the first site's file with
another name, and a small server behind it.
"""

import json
import re
import time

import pytest

NAME = "verify.example.com"
SOCKET = "/run/verify/http.sock"
SITES = "/etc/nginx/production.fastapi/sites"
SITE = f"{SITES}/verify.conf"
EXEMPT = "/healthz"

# Runs on the host. A status of 0 is a connection that was closed without an answer.
CLIENT = """
import http.client, json, socket, ssl, sys, time
ask = json.loads(sys.argv[1])
answers = []
for _ in range(ask["times"]):
    connection = http.client.HTTPConnection(ask["name"], timeout=20)
    connection.sock = socket.create_connection(("127.0.0.1", 443 if ask["tls"] else 80), 20)
    answer = {"status": 0, "headers": [], "body": ""}
    try:
        if ask["tls"]:
            context = ssl._create_unverified_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=ask["sni"])
        connection.request(ask["method"], ask["path"], headers={"Host": ask["name"], **ask["headers"]})
        got = connection.getresponse()
        headers = [(name.lower(), value) for name, value in got.getheaders()]
        answer = {"status": got.status, "headers": headers, "body": got.read().decode("latin-1")}
    except (ssl.SSLError, ConnectionResetError) as error:
        answer["body"] = str(error)
    connection.close()
    answers.append(answer)
print(json.dumps(answers))
"""

# The app of our own site. Each answer tells the request's headers and how many connections and requests there were.
UPSTREAM = """
import http.server, json, os, socketserver
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    connections = 0
    drops = {"GET": 0, "POST": 0}
    requests = 0
    def process_request(self, request, address):
        self.connections += 1
        super().process_request(request, address)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *arguments):
        pass
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests += 1
        if self.path == "/drop":
            self.server.drops[self.command] += 1
            self.close_connection = True
            return
        if self.path == "/socket" and self.headers.get("Upgrade", "").lower() == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", self.headers["Connection"])
            self.end_headers()
            self.wfile.write(b"you said " + self.rfile.readline())
            self.close_connection = True
            return
        server = self.server
        told = {"headers": {name.lower(): value for name, value in self.headers.items()}, "path": self.path}
        told |= {"connections": server.connections, "drops": server.drops, "requests": server.requests}
        body = json.dumps(told | {"padding": "x" * 4000 if self.path == "/big" else ""}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/framed":
            self.send_header("X-Frame-Options", "SAMEORIGIN")
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
os.umask(0)
Server("/run/verify/http.sock", Handler).serve_forever()
"""

RAW = """
import json, socket, ssl, sys, time
ask = json.loads(sys.argv[1])
context = ssl._create_unverified_context()
sock = context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 20), server_hostname=ask["name"])
for part in ask["parts"]:
    if part:
        sock.sendall(part.encode())
    time.sleep(0.3)
sock.settimeout(2)
received = b""
try:
    while data := sock.recv(65536):
        received += data
except (TimeoutError, ssl.SSLError):
    pass
print(received.decode("latin-1"))
"""

HANDSHAKE = """
import socket, ssl, sys
context = ssl._create_unverified_context()
context.set_alpn_protocols(["h2", "http/1.1"])
if len(sys.argv) > 2:
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[sys.argv[2]]
try:
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 20), server_hostname=sys.argv[1] or None)
    print(sock.version(), sock.selected_alpn_protocol())
except ssl.SSLError as error:
    print(error.reason)
"""


class Answer:
    """What a client got: the status, each header's values, the body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.body = body
        self.headers = {}
        for name, value in headers:
            self.headers.setdefault(name, []).append(value)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:500]}"

    def json(self):
        assert self.headers["content-type"] == ["application/json"], self
        return json.loads(self.body)


def run(host, command, *arguments):
    result = host.run(command, *arguments)
    assert result.rc == 0, result.stdout + result.stderr
    return result.stdout


def ask(host, name, path="/", *, tls=True, sni="", method="GET", times=1, **headers):
    """One answer, or a list of them when the request is sent several times; each request has its own connection."""
    wish = {"name": name, "path": path, "tls": tls, "sni": sni or name, "method": method, "times": times}
    wish["headers"] = {key.replace("_", "-"): value for key, value in headers.items()}
    answers = [Answer(**answer) for answer in json.loads(run(host, "python3 -c %s %s", CLIENT, json.dumps(wish)))]
    return answers if times > 1 else answers[0]


def send(host, *parts):
    """Send the parts over one connection, with a pause after each; return all that came back."""
    return run(host, "python3 -c %s %s", RAW, json.dumps({"name": NAME, "parts": parts}))


def handshake(host, name, *version):
    return run(host, " ".join(["python3 -c %s %s", *["%s"] * len(version)]), HANDSHAKE, name, *version).strip()


def start_upstream(host):
    run(host, "rm -f %s && systemd-run -q --collect --unit=verify-upstream python3 /run/verify/upstream.py", SOCKET)
    run(host, "for try in $(seq 50); do test -S %s && exit 0; sleep 0.1; done; exit 1", SOCKET)


def reload(host):
    """Reload, and wait until no worker of before takes requests any more."""
    run(host, "nginx -t -q && systemctl reload nginx")
    time.sleep(1)


@pytest.fixture(scope="module")
def file(host):
    """The configuration of the host's first site."""
    paths = [path for path in sorted(host.file(SITES).listdir()) if path.endswith(".conf")]
    return host.file(f"{SITES}/{paths[0]}").content_string


@pytest.fixture(scope="module")
def name(file):
    """A domain of the host's first site."""
    return re.search(r"server_name (\S+?)[ ;]", file)[1]


@pytest.fixture(scope="module")
def static(file):
    """The URL of its static files, and the folder."""
    match = re.search(r"location \^~ (\S+) \{\s+alias (\S+);", file)
    assert match, "the first site has no static files"
    return match[1], match[2]


@pytest.fixture(scope="module")
def app(host, file):
    """Our own site: the host's first one under another name, in front of our server (twice, so there is a next one)."""
    site = re.search(r"^upstream (\S+) \{", file, re.MULTILINE)[1]
    text = re.sub(r"server_name [^;]+;", f"server_name {NAME};", file)
    text = re.sub(r"^upstream \S+ \{", "upstream verify {", text, flags=re.MULTILINE)
    text = text.replace(f"zone {site} ", "zone verify ").replace(f"http://{site};", "http://verify;")
    text = re.sub(r"^(    server )\S+?( [^;]*)?;\n", "", text, flags=re.MULTILINE)
    text = text.replace("128k;\n", "128k;\n" + f"    server unix:{SOCKET} max_fails=0;\n" * 2)
    run(host, "mkdir -p /run/verify && printf %%s %s > /run/verify/upstream.py", UPSTREAM)
    start_upstream(host)
    run(host, "printf %%s %s > %s", text, SITE)
    try:
        reload(host)
        assert ask(host, NAME, EXEMPT).status == 200
        yield NAME
    finally:
        run(host, "systemctl stop verify-upstream; rm -rf /run/verify %s", SITE)
        reload(host)


@pytest.fixture
def rested(app):
    """The site, with an empty bucket of this host's address: 30 requests leak out of it in 3 s."""
    time.sleep(3)
    return app


def assert_secured(answer, *, tls=True):
    assert answer.headers["x-content-type-options"] == ["nosniff"], answer
    assert answer.headers["x-frame-options"] == ["DENY"], answer
    assert answer.headers["referrer-policy"] == ["strict-origin-when-cross-origin"], answer
    assert len(answer.headers["x-request-id"]) == 1, answer
    # A browser must ignore it without TLS, and RFC 6797 forbids to send it.
    assert ("strict-transport-security" in answer.headers) is tls, answer
    assert "nginx/" not in answer.headers["server"][0]


def test_it_runs_and_comes_back_after_a_reboot(host):
    service = host.service("nginx")
    assert service.is_running, host.run("journalctl -u nginx -n 20").stdout
    assert service.is_enabled


def test_the_workers_run_the_configuration_that_was_written(host):
    generation = json.loads(host.file("/var/lib/production.fastapi/nginx.json").content_string)["generation"]
    script = "import urllib.request as u; print(u.build_opener(u.ProxyHandler({})).open('http://127.0.80.80').read())"
    assert run(host, "python3 -c %s", script).strip() == f"b'{generation}'"


def test_http_is_redirected_to_the_same_uri(host, name):
    answer = ask(host, name, "/a/b?c=d&e=%20f", tls=False)
    assert (answer.status, answer.headers["location"]) == (301, [f"https://{name}/a/b?c=d&e=%20f"])
    assert_secured(answer, tls=False)


def test_an_acme_challenge_is_served_without_tls(host, name):
    folder = "/var/www/acme/.well-known/acme-challenge"
    run(host, "mkdir -p %s && printf token > %s/verify", folder, folder)
    try:
        answer = ask(host, name, "/.well-known/acme-challenge/verify", tls=False)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, "token", ["text/plain"])
    finally:
        run(host, "rm %s/verify && rmdir -p --ignore-fail-on-non-empty %s", folder, folder)


def test_nobodys_names_are_not_answered(host, name):
    assert ask(host, "nobody.example.org", tls=False).status == 0
    assert ask(host, "nobody.example.org", sni=name).status == 0


def test_handshakes_for_nobodys_names_are_refused(host):
    assert handshake(host, "nobody.example.org") == "TLSV1_UNRECOGNIZED_NAME"


def test_http2_and_tls_1_3_are_offered(host, name):
    assert handshake(host, name) == "TLSv1.3 h2"


@pytest.mark.parametrize(
    ("version", "outcome"), [("TLSv1_1", "TLSV1_ALERT_PROTOCOL_VERSION"), ("TLSv1_2", "TLSv1.2 h2")]
)
def test_only_current_versions_of_tls_are_spoken(host, name, version, outcome):
    assert handshake(host, name, version) == outcome


def test_keys_are_for_root_only(host):
    keys = run(host, "find /etc/ssl/sites -name privkey.pem -printf '%m %u\\n'").splitlines()
    assert keys
    assert set(keys) == {"600 root"}


def test_static_files_come_from_nginx_with_an_expiry(host, name, static):
    url, folder = static
    file = run(host, "find -L %s -maxdepth 1 -type f -printf '%%f\\n'", folder).split()[0]
    answer = ask(host, name, url + file)
    assert answer.status == 200
    assert answer.headers["cache-control"] == ["max-age=2592000"]
    assert answer.headers["x-request-id"]
    assert_secured(answer)


def test_a_missing_static_file_is_answered_by_nginx(host, name, static):
    answer = ask(host, name, static[0] + "no-such-file.css")
    assert (answer.status, answer.json()) == (404, {"detail": "Not Found"})
    assert "cache-control" not in answer.headers
    assert_secured(answer)


def test_a_static_location_cannot_be_left(host, name, static):
    for path in (f"{static[0][:-1]}../", f"{static[0]}..%2f..%2f", f"{static[0]}../../../etc/passwd"):
        assert "root:" not in ask(host, name, path).body


def test_private_paths_are_not_found_however_they_are_written(host, app):
    for path in ("/metrics", "/metrics/", "/metrics/x", "/%6detrics", "//metrics"):
        answer = ask(host, app, path)
        assert (answer.status, answer.json()) == (404, {"detail": "Not Found"}), path
        assert_secured(answer)


def test_a_path_that_an_app_could_read_in_another_way_is_refused_in_json(host, app):
    for path in ("/x/../metrics", "/metrics%0a", "/x/%2e%2e/metrics"):
        answer = ask(host, app, path)
        assert (answer.status, answer.json()) == (400, {"detail": "Bad Request"}), path
        assert_secured(answer)


def test_a_body_that_is_too_large_is_refused_in_json(host, name):
    answer = ask(host, name, method="POST", Content_Length="99999999999")
    assert answer.status == 413
    assert answer.json() == {"detail": "Request body is too large"}
    assert_secured(answer)


def test_the_app_hears_the_truth_about_the_client(host, app):
    lies = {
        "X_Forwarded_For": "1.2.3.4",
        "X_Forwarded_Proto": "http",
        "X_Forwarded_Host": "evil.example.org",
        "X_Forwarded_Port": "1",
        "X_Forwarded_Prefix": "/evil",
        "X_Real_IP": "1.2.3.4",
        "Forwarded": "for=1.2.3.4",
        "Proxy": "evil.example.org",
        "X_Request_ID": "mine",
        "Upgrade": "h2c",
        "Connection": "Upgrade",
    }
    answer = ask(host, app, EXEMPT, **lies)
    heard = answer.json()["headers"]
    assert heard["host"] == app
    assert heard["x-forwarded-host"] == app
    assert heard["x-forwarded-for"] == "127.0.0.1"
    assert heard["x-real-ip"] == "127.0.0.1"
    assert heard["x-forwarded-proto"] == "https"
    assert re.fullmatch("[0-9a-f]{32}", heard["x-request-id"])
    assert answer.headers["x-request-id"] == [heard["x-request-id"]]
    assert not {"x-forwarded-port", "x-forwarded-prefix", "forwarded", "proxy", "connection"} & set(heard)
    assert_secured(answer)


@pytest.mark.parametrize(("port", "told"), [(":443", ":443"), (":1337", "")])
def test_only_a_port_on_which_clients_come_reaches_the_app(host, app, port, told):
    assert json.loads(send_get(host, app + port))["headers"]["host"] == app + told


def test_the_host_header_of_an_absolute_request_line_is_not_believed(host, app):
    heard = json.loads(send_get(host, "evil.example.org", f"https://{app}{EXEMPT}"))["headers"]
    assert heard["host"] == app


def send_get(host, name, target=EXEMPT):
    answer = send(host, f"GET {target} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 200"), answer
    return answer.split("\r\n\r\n", 1)[1]


def test_connections_to_the_app_are_used_again(host, app):
    workers = int(run(host, "pgrep -c -f '^nginx: worker process$'"))
    counts = [answer.json()["connections"] for answer in ask(host, app, EXEMPT, times=30)]
    assert counts[-1] - counts[0] <= 2 * workers


def test_websockets_pass(host, app):
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    answer = send(host, f"GET /socket HTTP/1.1\r\nHost: {app}\r\n{upgrade}\r\n", "hello\n")
    assert answer.startswith("HTTP/1.1 101"), answer
    assert "\r\nConnection: upgrade\r\n" in answer
    assert answer.endswith("you said hello\n\n")


def test_a_header_that_the_app_sets_is_kept_and_not_doubled(host, app):
    assert ask(host, app, "/framed").headers["x-frame-options"] == ["SAMEORIGIN"]


def test_a_slow_client_does_not_hold_a_worker(host, app):
    before = ask(host, app, EXEMPT).json()["requests"]
    head = f"POST /slow HTTP/1.1\r\nHost: {app}\r\nContent-Length: 10\r\n\r\n"
    assert send(host, head, "12345").strip() == ""
    assert ask(host, app, EXEMPT).json()["requests"] == before + 1
    assert send(host, head, "12345", "67890").startswith("HTTP/1.1 200")


def test_text_is_compressed_for_who_wants_it(host, app):
    assert ask(host, app, "/big", Accept_Encoding="gzip").headers["content-encoding"] == ["gzip"]
    assert "content-encoding" not in ask(host, app, "/big").headers


def test_a_get_is_tried_again_and_a_post_never(host, app):
    for method, tries in (("GET", 2), ("POST", 1)):
        before = ask(host, app, EXEMPT).json()["drops"][method]
        assert ask(host, app, "/drop", method=method).status == 502
        assert ask(host, app, EXEMPT).json()["drops"][method] == before + tries


def test_a_client_above_the_rate_is_told_when_to_come_back(host, rested):
    answers = ask(host, rested, "/limited", times=60)
    assert [answer.status for answer in answers[:21]] == [200] * 21
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert refused[0].json() == {"detail": "Too many requests"}
    assert refused[0].headers["retry-after"] == ["1"]
    assert_secured(refused[0])
    time.sleep(int(refused[0].headers["retry-after"][0]))
    assert ask(host, rested, "/limited").status == 200


def test_health_checks_are_not_limited(host, app):
    assert {answer.status for answer in ask(host, app, EXEMPT, times=60)} == {200}


def test_the_log_has_the_request_id_and_the_time_of_the_app(host, app):
    request_id = ask(host, app, EXEMPT).headers["x-request-id"][0]
    run(host, "nginx -s reopen")
    time.sleep(1)
    line = json.loads(run(host, "grep %s /var/log/nginx/access.log", request_id))
    assert line["upstream"].startswith("unix:")
    clocks = 0.005  # Nginx takes its times from clocks that tick in milliseconds, each on its own
    assert float(line["connect_seconds"]) <= float(line["response_seconds"]) + clocks
    assert float(line["response_seconds"]) <= line["seconds"] + clocks


def test_an_app_that_is_gone_is_reported_in_json(host, app):
    run(host, "systemctl stop verify-upstream")
    try:
        answer = ask(host, app, "/gone")
    finally:
        start_upstream(host)
    assert (answer.status, answer.json()) == (502, {"detail": "The application did not answer"})
    assert answer.headers["retry-after"] == ["5"]
    assert_secured(answer)
