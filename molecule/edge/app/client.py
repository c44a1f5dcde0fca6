"""Asks the site as many clients would, each from an address that the caller chooses; runs on the host.

Each line that it reads is a wish, and what became of its requests is a line that it prints, both as JSON:

    {"path": "/limited", "source": "127.1.0.1", "clients": 200, "seconds": 6, "pause": 0.2}

`proxy` is what the connection begins with, before TLS. A status of 0 is a connection that ended without an answer.
"""

import asyncio
import json
import ssl
import sys
import time

NAME = "edge.example.com"
TLS = ssl._create_unverified_context()


class Client:
    """One client with one connection, which is opened again where it has ended."""

    def __init__(self, ask):
        self.ask = ask
        self.connection = None

    async def connect(self):
        port, tls = (443, TLS) if self.ask.get("tls", True) else (80, None)
        name = NAME if tls else None
        source = (self.ask.get("source", "127.0.0.1"), 0)
        if proxy := self.ask.get("proxy"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source)
            writer.write(proxy.encode())
            await writer.start_tls(tls, server_hostname=name)
            return reader, writer
        return await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name, local_addr=source)

    async def request(self):
        """Send one request; its body comes in two halves, `between` seconds apart."""
        began = time.monotonic()
        try:
            self.connection = self.connection or await self.connect()
            answer = await asyncio.wait_for(self.exchange(*self.connection), 20)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            answer = {"status": 0, "headers": {}, "body": repr(error)}
        if answer["status"] == 0 or answer["headers"].get("connection") == "close":
            self.close()
        return answer | {"began": began, "ended": time.monotonic()}

    async def exchange(self, reader, writer):
        body = b"x" * self.ask.get("size", 0)
        headers = {"Host": NAME, **self.ask.get("headers", {})}
        if body:
            headers["Content-Length"] = str(len(body))
        lines = [f"{self.ask.get('method', 'GET')} {self.ask['path']} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines) + "\r\n\r\n"
        writer.write(head.encode() + body[: len(body) // 2])
        if between := self.ask.get("between"):
            await asyncio.sleep(between)
        writer.write(body[len(body) // 2 :])
        status = int((await reader.readline()).split()[1])
        answered, first = {}, time.monotonic()
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(": ")
            answered[name.lower()] = value
        if length := answered.get("content-length"):
            text = await reader.readexactly(int(length))
        elif answered.get("transfer-encoding") == "chunked":
            text = b""
            while size := int(await reader.readline(), 16):
                first = first if text else time.monotonic()
                text += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            text = await reader.read()
        return {"status": status, "headers": answered, "body": text.decode("latin-1"), "first": first}

    def close(self):
        if self.connection:
            self.connection[1].close()
        self.connection = None


async def main(ask):
    """Let all clients ask, once or until the time is over."""
    end = time.monotonic() + ask.get("seconds", 0)
    answers = []

    async def go_on():
        client = Client(ask)
        while True:
            answers.append(await client.request())
            if time.monotonic() >= end:
                break
            await asyncio.sleep(ask.get("pause", 0.1))
        client.close()

    await asyncio.gather(*(go_on() for _ in range(ask.get("clients", 1))))
    print(json.dumps(answers), flush=True)


for line in sys.stdin:
    asyncio.run(main(json.loads(line)))
