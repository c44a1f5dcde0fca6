"""Sends the bytes that it gets, each on a connection of its own, to the site over TLS; runs on the host.

    raw.py '["GET / HTTP/1.1\\r\\nHost: edge.example.com\\r\\nConnection: close\\r\\n\\r\\n"]'

Prints what came back, as JSON in the same order. A text stands for its bytes in Latin-1. A connection that neither
ends nor says anything for `QUIET` seconds is closed from here.
"""

import json
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count

NAME = "edge.example.com"
QUIET = 3.0
NUMBERS = count(1)


def exchange(text):
    """What the server answers to these bytes."""
    context = ssl._create_unverified_context()
    # Each connection has an address of its own, because the site limits the requests of an address.
    source = (f"127.4.1.{1 + next(NUMBERS) % 250}", 0)
    with (
        socket.create_connection(("127.0.0.1", 443), 10, source_address=source) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        connection.settimeout(QUIET)
        answer = b""
        try:
            connection.sendall(text.encode("latin-1"))
            while received := connection.recv(65536):
                answer += received
        except OSError:
            pass
        return answer.decode("latin-1")


with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(exchange, json.loads(sys.argv[1])))))
