"""Asks the app's socket, on a new connection each time, until a build answers; prints when, in seconds since 1970.

first_answer.py SOCKET BUILD
"""

import contextlib
import json
import socket
import sys
import time

address, build = sys.argv[1:]
give_up = time.time() + 120
while time.time() < give_up:
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(address)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
        now = time.time()
        if json.loads(answer.partition(b"\r\n\r\n")[2])["build"] == int(build):
            print(now)
            sys.exit()
    time.sleep(0.02)
sys.exit(f"Build {build} has not answered within two minutes.")
