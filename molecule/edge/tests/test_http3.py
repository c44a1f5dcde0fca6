"""HTTP/3 on the Debian whose Nginx has it, by the curl of that Debian, which has it too."""

import time
from email import message_from_string

import pytest
from asking import on
from clients import Answer, ask, log_of
from test_answers import SECURITY

testinfra_hosts = ["ansible://pf-debian13"]


@pytest.fixture(scope="module", autouse=True)
def _curl(host):
    on(host, "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends curl >/dev/null")


def by_http3(host, path, *options, name="edge.example.com"):
    """What curl gets over nothing but HTTP/3: its exit status, and the answer, if there was one."""
    command = "curl --silent --insecure --include --http3-only --max-time 5 --noproxy '*' --resolve *:443:127.0.0.1"
    result = host.run(" ".join([command, *options, "%s"]), f"https://{name}{path}")
    head, _, body = result.stdout.replace("\r\n", "\n").partition("\n\n")
    first, _, lines = head.partition("\n")
    if not first.startswith("HTTP/3 "):
        return result.exit_status, None
    headers = {key.lower(): value for key, value in message_from_string(lines).items()}
    return result.exit_status, Answer(int(first.split()[1]), headers, body, 0, 0)


def test_a_client_learns_of_it_over_tls_and_gets_the_same_over_it(host):
    offer = {"alt-svc": 'h3=":443"; ma=86400'}
    assert offer.items() <= ask(host, "/").headers.items()
    assert "alt-svc" not in ask(host, "/", tls=False).headers
    for path, status in (("/", 200), ("/static/site.css", 200), ("/metrics", 404), ("/?status=500", 500)):
        _, answer = by_http3(host, path)
        assert answer.status == status
        assert (SECURITY | offer).items() <= answer.headers.items()


def test_the_app_and_the_log_hear_who_it_was(host):
    _, answer = by_http3(host, "/upload", "--interface 127.1.7.1", "--data-binary hello")
    heard = answer.json()
    assert heard["received"] == 5
    assert (heard["headers"]["x-real-ip"], heard["headers"]["host"]) == ("127.1.7.1", "edge.example.com")
    line = log_of(host, answer)
    assert (line["client"], line["protocol"], line["tls"]) == ("127.1.7.1", "HTTP/3.0", "TLSv1.3")


def test_limits_hold_for_it_too(host):
    answers = [by_http3(host, "/login", "--interface 127.1.7.2")[1].status for _ in range(3)]
    assert answers == [200, 200, 429]


def test_nobodys_names_get_no_answer(host):
    status, answer = by_http3(host, "/", name="nobody.example.com")
    assert (status != 0, answer) == (True, None)


def test_it_is_there_after_a_reload(host):
    on(host, "systemctl reload nginx")
    time.sleep(1)
    for _ in range(10):
        assert by_http3(host, "/")[1].status == 200
