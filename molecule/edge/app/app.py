"""The app of this scenario: it says what it hears, and is slow, broken or silent where the path asks for it."""

import http.server
import json
import os
import socketserver
import time
from collections import deque
from itertools import count
from urllib.parse import parse_qs, urlsplit

SOCKET = "/run/edge/http.sock"
RELEASE = "one-1234"
NUMBERS = count(1)
# Method, path and length of the body of the last requests.
HEARD = deque(maxlen=1000)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 1024


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        """Nginx logs already."""

    def do_GET(self):
        if self.path == "/events":
            self.events()
        else:
            self.tell()

    def do_POST(self):
        self.tell()

    def tell(self):
        """What was heard, after `sleep` seconds, with the `status` and perhaps a `cookie` that the query asks for."""
        query = parse_qs(urlsplit(self.path).query)
        began = time.monotonic()
        body = self.body()
        waited = time.monotonic() - began
        time.sleep(float(query.get("sleep", ["0"])[0]))
        heard = {name.lower(): value for name, value in self.headers.items()}
        told = {"release": RELEASE, "number": next(NUMBERS), "received": len(body), "waited": waited, "headers": heard}
        told |= {"path": self.path, "heard": list(HEARD)} if self.path == "/heard" else {"path": self.path}
        HEARD.append([self.command, self.path, len(body)])
        answer = body if self.path == "/" and body else json.dumps(told).encode()
        self.send_response(int(query.get("status", ["200"])[0]))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Release", RELEASE)
        if "cookie" in query:
            self.send_header("Set-Cookie", "session=1")
        self.end_headers()
        self.wfile.write(answer)

    def body(self):
        """The body, however its length is told."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def events(self):
        """Two events, three seconds apart."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        time.sleep(3)
        self.wfile.write(b"data: second\n\n")


os.umask(0)
Server(SOCKET, Handler).serve_forever()
