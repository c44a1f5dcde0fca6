"""Ask a site as a client would: over HTTPS, through the Nginx of a host, by the site's name."""

import json
from typing import Any

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


def ask(host: Any, name: str, path: str = "/") -> tuple[int, str]:
    """Return the status and the body of a GET."""
    answer = host.run("python3 -c %s %s %s", FETCH, name, path)
    assert answer.rc == 0, answer.stderr
    status, _, body = answer.stdout.partition(" ")
    return int(status), body.strip()


def ask_json(host: Any, name: str, path: str) -> Any:
    """Return the JSON of a GET that is answered with 200."""
    status, body = ask(host, name, path)
    assert status == 200, body
    return json.loads(body)


def on(host: Any, command: str, *arguments: str) -> str:
    """Run a command on a host and return what it printed; its failure is the test's."""
    result = host.run(command, *arguments)
    assert result.rc == 0, result.stdout + result.stderr
    return str(result.stdout)


def name_of(host: Any) -> str:
    """Return the name that Docker and the inventory have for a host."""
    return str(host.backend.get_pytest_id()).rpartition("://")[2]
