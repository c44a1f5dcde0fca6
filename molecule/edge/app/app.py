"""The app of this scenario: it says what it hears, and is slow, broken or silent where the path asks for it."""

import http.server
import json
import os
import socketserver
import time
from itertools import count
from urllib.parse import parse_qs, urlsplit

SOCKET = "/run/edge/http.sock"
RELEASE = "one-1234"
NUMBERS = count(1)


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
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        waited = time.monotonic() - began
        time.sleep(float(query.get("sleep", ["0"])[0]))
        heard = {name.lower(): value for name, value in self.headers.items()}
        told = {"release": RELEASE, "number": next(NUMBERS), "received": len(body), "waited": waited, "headers": heard}
        answer = body if self.path == "/" and body else json.dumps(told).encode()
        self.send_response(int(query.get("status", ["200"])[0]))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Release", RELEASE)
        if "cookie" in query:
            self.send_header("Set-Cookie", "session=1")
        self.end_headers()
        self.wfile.write(answer)

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
