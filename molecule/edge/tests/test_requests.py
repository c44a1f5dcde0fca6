"""Nginx and the app read the same request: one path, one length, one host."""

import gzip
import json
import re

import pytest
from asking import on
from clients import ask, asked, statuses

NAME = "edge.example.com"
SMUGGLED = f"GET /smuggled HTTP/1.1\r\nHost: {NAME}\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"

REFUSED_PATHS = [
    "/metrics%0a",
    "/metrics%0A",
    "/metrics%0d%0a",
    "/x%00",
    "/x%1f",
    "/x%7f",
    "/x\x7f",
    "/metrics/../x",
    "/metrics/..",
    "/metrics/..%2fx",
    "/metrics/%2e%2e/x",
    "/metrics/.%2E%2fx",
    "/x%2f..%2fy",
    "/x/..%2f..%2fhealthz",
    "/x/./y",
    "/x/%2e",
    "/..",
    "/x#y",
]
LEGAL_PATHS = [
    "/a..b",
    "/...",
    "/.well-known/x",
    "/..x/x../x.",
    "/a%2fb",
    "/a%2Fb",
    "/a%20b",
    "/a?q=%0a",
    "/a?next=../x",
    "/a?next=/../x#y",
    "/%C3%A4/%E6%97%A5",
    "/a;v=1.2/b;c",
    "/a,b:c@d!$&'()*+=~_-",
    "/a%252e%252e%252fb",
    "/a%3fb%23c",
    "/a%5c..%5cb",
    "/x//y",
    "/%61",
]

# Bytes that can be read in two ways, and the statuses that may come back. N stands for the number of the case.
GET = f"GET /case-N HTTP/1.1\r\nHost: {NAME}\r\n"
POST = f"POST /case-N HTTP/1.1\r\nHost: {NAME}\r\n"
STREAM = f"POST /upload-N HTTP/1.1\r\nHost: {NAME}\r\n"
UPGRADE = f"{GET}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
AFTER = f"GET /metrics HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"


def chunk(text):
    """The text as one chunk, without the last one."""
    return f"{len(text):x}\r\n{text}\r\n"


AMBIGUOUS = {
    "CL.TE": (f"{POST}Content-Length: {5 + len(SMUGGLED)}\r\n{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}", [[400]]),
    "TE.CL": (f"{POST}{CHUNKED}Content-Length: 4\r\n\r\n{chunk(SMUGGLED)}0\r\n\r\n", [[400]]),
    "CL.TE of a stream": (f"{STREAM}Content-Length: {5 + len(SMUGGLED)}\r\n{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}", [[400]]),
    "TE.0": (f"{POST}{CHUNKED}Connection: close\r\n\r\n{chunk(SMUGGLED)}0\r\n\r\n", [[200]]),
    "TE.0 of a stream": (f"{STREAM}{CHUNKED}Connection: close\r\n\r\n{chunk(SMUGGLED)}0\r\n\r\n", [[200]]),
    "CL.0": (f"{GET}Content-Length: {len(SMUGGLED)}\r\nConnection: close\r\n\r\n{SMUGGLED}", [[200]]),
    "two codings": (f"{POST}{CHUNKED}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n{SMUGGLED}", [[400], [501]]),
    "an unknown coding": (f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SMUGGLED}", [[501]]),
    "a list of codings": (f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{SMUGGLED}", [[501]]),
    "a coding after a tab": (f"{POST}Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n{SMUGGLED}", [[400], [501]]),
    "a coding in HTTP/1.0": (f"{POST.replace('1.1', '1.0')}{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}", [[400], [501]]),
    "a space before the colon": (f"{POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{SMUGGLED}", [[200, 400], [400]]),
    "an underscore": (f"{POST}Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}", [[200, 400]]),
    "two lengths": (f"{POST}Content-Length: 0\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}", [[400]]),
    "the same length twice": (f"{POST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n{SMUGGLED}", [[400]]),
    "a list of lengths": (f"{POST}Content-Length: 0, {len(SMUGGLED)}\r\n\r\n{SMUGGLED}", [[400]]),
    "a length with a sign": (f"{POST}Content-Length: +0\r\n\r\n{SMUGGLED}", [[400]]),
    "a negative length": (f"{POST}Content-Length: -1\r\n\r\n{SMUGGLED}", [[400]]),
    "a length in hexadecimal": (f"{POST}Content-Length: 0x0\r\n\r\n{SMUGGLED}", [[400]]),
    "a length that is too long": (f"{POST}Content-Length: {'9' * 30}\r\n\r\n{SMUGGLED}", [[400]]),
    "a folded line": (
        f"{POST}X-Folded: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
        [[200, 400], [400]],
    ),
    "a folded coding": (f"{POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{SMUGGLED}", [[400], [501]]),
    "a chunk extension": (f"{POST}{CHUNKED}Connection: close\r\n\r\n3;a=b\r\nxyz\r\n0\r\n\r\n", [[200]]),
    "a bare LF in a chunk extension": (f"{STREAM}{CHUNKED}Connection: close\r\n\r\n2;\nxx\r\n0\r\n\r\n", [[200]]),
    "a chunk that ends with LF": (f"{STREAM}{CHUNKED}Connection: close\r\n\r\n3\r\nxyz\n0\r\n\r\n", [[200]]),
    "a negative chunk": (f"{POST}{CHUNKED}\r\n-1\r\n\r\n{SMUGGLED}", [[400]]),
    "a chunk of 0x0": (f"{POST}{CHUNKED}\r\n0x0\r\n\r\n{SMUGGLED}", [[400]]),
    "a chunk that is too long": (f"{POST}{CHUNKED}\r\n{'f' * 17}\r\n{SMUGGLED}", [[400], [413]]),
    "lines that end with LF": (f"{GET}Connection: close\r\n\r\n".replace("\r", ""), [[200]]),
    "a bare CR in a value": (f"{GET}X-A: b\rTransfer-Encoding: chunked\r\n\r\n", [[400]]),
    "a bare CR at the end": (f"{GET}\r\r\n{SMUGGLED}", [[400]]),
    "NUL in a value": (f"{GET}X-A: b\0c\r\n\r\n", [[400]]),
    "NUL in a name": (f"{GET}X\0A: b\r\nConnection: close\r\n\r\n", [[400]]),
    "NUL in the path": (GET.replace("case", "c\0se") + "\r\n", [[400]]),
    "two hosts": (f"{GET}Host: evil.example.org\r\n\r\n", [[400]]),
    "no host": ("GET /case-N HTTP/1.1\r\n\r\n", [[400]]),
    "another host in the request line": (
        f"GET https://evil.example.org/case-N HTTP/1.1\r\nHost: {NAME}\r\n\r\n",
        [[], [421]],
    ),
    "h2c": (
        f"{GET}Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n",
        [[200]],
    ),
    "an upgrade that fails": (f"{UPGRADE}Sec-WebSocket-Version: 777\r\n\r\n{AFTER}", [[200, 404], [200]]),
    "HTTP/2 without TLS's consent": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0" * 9, [[400], []]),
    "CONNECT": (f"CONNECT {NAME}:80 HTTP/1.1\r\nHost: {NAME}\r\n\r\n{SMUGGLED}", [[400], [405]]),
    "TRACE": (f"TRACE /case-N HTTP/1.1\r\nHost: {NAME}\r\n\r\n{SMUGGLED}", [[405]]),
}
# How long the body is that the app has to hear.
BODIES = {
    "TE.0": len(SMUGGLED),
    "TE.0 of a stream": len(SMUGGLED),
    "CL.0": len(SMUGGLED),
    "a chunk extension": 3,
    "a bare LF in a chunk extension": 2,
    "a chunk that ends with LF": 3,
    "an underscore": 0,
}


def exchange(host, *texts):
    """The statuses that came back for each text, which is sent as it is on a connection of its own."""
    answers = json.loads(on(host, "python3 /srv/edge/raw.py %s", json.dumps(texts)))
    return [[int(status) for status in re.findall(r"HTTP/1\.1 (\d+) ", text)] for text in answers]


def heard(host):
    """Method, path and length of the body of what the app has heard."""
    return [tuple(request) for request in ask(host, "/heard").json()["heard"]]


def get(path, name=NAME):
    return f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"


def test_a_path_that_could_be_read_in_two_ways_is_refused(host):
    found = exchange(host, *(get(path) for path in REFUSED_PATHS))
    assert dict(zip(REFUSED_PATHS, found, strict=True)) == {path: [400] for path in REFUSED_PATHS}
    assert not {path for _, path, _ in heard(host)} & set(REFUSED_PATHS)


@pytest.mark.parametrize("path", LEGAL_PATHS)
def test_every_other_path_reaches_the_app_as_it_was_sent(host, path):
    assert ask(host, path).json()["path"] == path


def test_only_the_very_path_is_exempt_from_the_limits(host):
    for number, path in enumerate(("//healthz", "/healthz%2f", "/%2fhealthz", "/healthz/", "/Healthz")):
        assert 429 in statuses(asked(host, path, source=f"127.4.2.{number}", clients=60)), path
    for number, path in enumerate(("/healthz", "/%68ealthz", "/healthz?//")):
        assert statuses(asked(host, path, source=f"127.4.3.{number}", clients=60)) == {200: 60}, path


@pytest.mark.parametrize(
    ("port", "told"),
    [("", ""), (":443", ":443"), (":80", ":80"), (":8443", ":8443"), (":1337", ""), (":99999", ""), (":08443", "")],
)
def test_the_app_gets_only_ports_on_which_clients_come(host, port, told):
    headers = ask(host, "/", headers={"Host": NAME + port}).json()["headers"]
    assert headers["host"] == headers["x-forwarded-host"] == NAME + told


def test_answers_to_one_port_are_not_kept_for_another(host):
    path = "/cached?port"
    poisoned = ask(host, path, headers={"Host": f"{NAME}:8443"}).json()
    everybody = ask(host, path).json()
    assert (poisoned["headers"]["host"], everybody["headers"]["host"]) == (f"{NAME}:8443", NAME)


def test_what_only_a_proxy_may_say_is_dropped_and_what_is_the_clients_own_is_kept(host):
    proxys = ["X-Request-Timeout-Ms", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Port"]
    own = ["Idempotency-Key", "traceparent"]
    told = ask(host, "/", headers=dict.fromkeys(proxys + own, "1")).json()["headers"]
    assert {name for name in proxys + own if name.lower() in told} == set(own)


def test_no_request_is_smuggled_in_another(host):
    found = exchange(host, *(text.replace("-N", f"-{number}") for number, (text, _) in enumerate(AMBIGUOUS.values())))
    unexpected = {
        name: statuses
        for (name, (_, allowed)), statuses in zip(AMBIGUOUS.items(), found, strict=True)
        if statuses not in allowed
    }
    assert unexpected == {}
    told = heard(host)
    assert not [request for request in told if request[1] in {"/smuggled", "/metrics"}]
    # What Nginx has read as a body is one for the app too, all of it.
    lengths = {path: length for _, path, length in told}
    for number, name in enumerate(AMBIGUOUS):
        if name in BODIES:
            assert lengths.get(f"/case-{number}", lengths.get(f"/upload-{number}")) == BODIES[name], name


def test_the_connections_to_the_app_are_not_out_of_step_after_that(host):
    for number in range(40):
        assert ask(host, f"/victim-{number}").json()["path"] == f"/victim-{number}"


def test_a_compressed_body_stays_as_small_as_it_came(host):
    bomb = gzip.compress(bytes(5 * 1024 * 1024)).decode("latin-1")
    head = f"POST /bomb HTTP/1.1\r\nHost: {NAME}\r\nContent-Encoding: gzip\r\nConnection: close\r\n"
    told = (f"Content-Length: {len(bomb)}\r\n\r\n{bomb}", f"{CHUNKED}\r\n{chunk(bomb)}0\r\n\r\n")
    assert exchange(host, *(head + body for body in told)) == [[200], [200]]
    assert [length for _, path, length in heard(host) if path == "/bomb"] == [len(bomb)] * 2
