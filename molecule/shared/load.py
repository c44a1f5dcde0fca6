"""Light load from a host, through its Nginx or others, for a block; every answer is checked, nothing is sent twice."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# Seconds that each client waits before its next request. At 0.01 they take a core from the deploy that they watch.
PAUSE = "0.01" if os.environ.get("LONG") else "0.03"

# Runs on the host until its input ends: GET and POST, each over a kept-alive connection and over new ones. Of several
# addresses each is the first in its turn; where none answers, the next is tried, as clients do with those of a name.
CLIENT = """
import http.client, json, select, socket, ssl, sys, threading, time
pause, name, addresses, over = float(sys.argv[1]), sys.argv[2], sys.argv[3:], threading.Event()
context = ssl._create_unverified_context()
failed, seen, sent, longest = [], {}, [0], [0.0]
lock = threading.Lock()

def reach(turn):
    for number, _ in enumerate(addresses, 1):
        try:
            address = addresses[(turn + number) % len(addresses)]
            reached = socket.create_connection((address, 443), 1 if addresses[1:] else 30)
            reached.settimeout(30)
            return reached
        except OSError:
            if number == len(addresses):
                raise

def connect(turn):
    connection = http.client.HTTPSConnection(name, context=context, timeout=30)
    connection.sock = context.wrap_socket(reach(turn), server_hostname=name)
    return connection

def ask(method, kept):
    connection, number = None, 0
    while not over.is_set():
        number += 1
        began, problem, release = time.monotonic(), "", ""
        body = f"{method} {kept} {number}".encode() * 50
        try:
            # As every client does before it uses a connection again: the server may have closed it meanwhile.
            if connection and select.select([connection.sock], [], [], 0)[0]:
                connection.close()
                connection = None
            connection = connection or connect(number)
            connection.request(method, "/", body if method == "POST" else None)
            answer = connection.getresponse()
            text, release = answer.read(), answer.getheader("X-Release", "")
            if answer.status != 200:
                problem = f"{answer.status}"
            elif method == "POST" and text != body:
                problem = "another body"
            elif method == "GET" and json.loads(text)["release"] != release:
                problem = "another release"
            if not kept or connection.sock is None:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem, connection = repr(error), None
        with lock:
            sent[0] += 1
            longest[0] = max(longest[0], time.monotonic() - began)
            seen[release] = seen.get(release, 0) + 1
            if problem:
                failed.append(f"{method} {'kept' if kept else 'new'} connection: {problem}")
        time.sleep(pause)

threads = [threading.Thread(target=ask, args=(method, kept)) for method in ("GET", "POST") for kept in (True, False)]
[thread.start() for thread in threads]
sys.stdin.read()
over.set()
[thread.join() for thread in threads]
print(json.dumps({"sent": sent[0], "failed": failed, "longest": longest[0], "seen": seen}))
"""

# Nginx closes idle connections of clients when it reloads. Who uses one in that moment has to begin anew (RFC 9112,
# section 9.5); where Nginx is reloaded under load, that is no request lost.
CLOSED = re.compile(r" kept connection: (RemoteDisconnected|BrokenPipe|ConnectionReset|SSLEOFError)")


@dataclass
class Load:
    """What became of the requests, once the block is over."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0  # seconds
    seen: dict[str, int] = field(default_factory=dict)  # answers by the release that gave them


@contextmanager
def load(host: str, name: str, *addresses: str) -> Iterator[Load]:
    """Ask the site `name` until the block ends: on the host itself, or at these addresses of others."""
    client = ["python3", "-c", CLIENT, PAUSE, name, *(addresses or ("127.0.0.1",))]
    command = ["docker", "exec", "--interactive", host, *client]
    result = Load()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield result
        finally:
            output, _ = client.communicate(timeout=60)
        for key, value in json.loads(output).items():
            setattr(result, key, value)
