"""Each test says which host it needs, and asks it through Nginx as a client would."""

import json

import pytest
import testinfra


@pytest.fixture(scope="session")
def debian12():
    return testinfra.get_host("docker://pf-debian12")


@pytest.fixture(scope="session")
def debian13():
    return testinfra.get_host("docker://pf-debian13")


FETCH = """
import http.client, socket, ssl, sys
name, path = sys.argv[1:]
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection(name, context=context, timeout=10)
connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", 443), 10), server_hostname=name)
connection.request("GET", path)
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


@pytest.fixture
def ask():
    """Return (status, body) of a GET that goes through the Nginx of a host, to a site's name."""

    def get(host, name, path="/"):
        answer = host.run("python3 -c %s %s %s", FETCH, name, path)
        assert answer.rc == 0, answer.stderr
        status, _, body = answer.stdout.partition(" ")
        return int(status), body.strip()

    return get


@pytest.fixture
def ask_json(ask):
    def get(host, name, path):
        status, body = ask(host, name, path)
        assert status == 200, body
        return json.loads(body)

    return get
