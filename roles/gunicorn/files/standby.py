"""Answer 503 with Retry-After on the socket of an app while none of its releases answers: standby NAME SECONDS

Written by Ansible, role production.fastapi.gunicorn. systemd holds the listening socket, so it takes connections also
while no process of the app would accept one: after a crash, in a crash loop, after a first deploy that was refused.
Nginx connects at once then, and would wait for its whole read time-out.

It has the same socket as the releases and accepts nothing while one of them is ready, or starts because it was told to:
what waits then is served in a moment. A release that has crashed has some seconds to come back. When they are over, or
when its restart has failed, nobody is to wait any longer. Nor is anybody when all workers have stood still for SECONDS,
the time that a request may take: a server that is frozen takes connections and answers none of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# The first descriptor that systemd passes (sd_listen_fds(3)).
LISTEN_FD = 3
# Seconds that a connection waits in the queue before somebody wonders why, and between two looks.
UNANSWERED = 0.25
# Seconds until clients are told: without any instance that runs or starts, and after a crash.
PATIENCE = 3.0
PATIENCE_AFTER_CRASH = 5.0
# Without a look for so long, nobody knows since when no release is ready.
FORGOTTEN = 2.0
# Seconds for a client to send its request, and to read the answer.
CLIENT = 2.0
# Seconds that workers may stand still at least: they say each second that they are alive, and a busy host is late.
LEAST_STILL = 10.0
# What the workers tell systemd each second; those of releases before that say nothing, and count as alive.
ALIVE = re.compile(r"A worker was alive (\d+) s after boot")
MOST_HEAD = 64 * 1024
MOST_THREADS = 64
RETRY_AFTER = 5

BODY = b'{"detail":"Service unavailable"}'
ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\nRetry-After: %d\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n%s"
) % (len(BODY), RETRY_AFTER, BODY)
# RFC 9110, section 9.2.2, as far as Nginx passes them on to another server.
IDEMPOTENT = (b"GET ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"TRACE ")


def units(name: str) -> list[dict[str, str]] | None:
    """What systemd says of each instance of the app; None when it cannot be asked."""
    wanted = "Id,ActiveState,SubState,NRestarts,Result,ActiveEnterTimestampMonotonic,StatusText"
    command = ["systemctl", "show", f"--property={wanted}", f"{name}@*.service"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except subprocess.CalledProcessError as error:
        print(f"systemd cannot be asked, so all requests wait for the app: {error.stderr.strip()}", flush=True)
        return None
    except (OSError, subprocess.SubprocessError) as error:
        print(f"systemd cannot be asked, so all requests wait for the app: {error}", flush=True)
        return None
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    return [block for block in blocks if block]


def will_serve(unit: dict[str, str]) -> bool:
    """Whether an instance accepts connections, or is about to because somebody has started or restarted it."""
    state = unit.get("ActiveState", "")
    started = state == "activating" and unit.get("NRestarts") == "0" and unit.get("Result") == "success"
    return state in {"active", "reloading", "deactivating"} or started


def stands_still(unit: dict[str, str], now: float, most: float) -> bool:
    """Whether no worker of an instance that runs has been alive for `most` seconds, and for `LEAST_STILL`."""
    alive = ALIVE.fullmatch(unit.get("StatusText", ""))
    return unit.get("ActiveState") == "active" and alive is not None and now - float(alive[1]) >= max(most, LEAST_STILL)


@dataclass
class Watch:
    """Knows whether a release is still to be waited for; `now` is monotonic, in seconds."""

    look: Callable[[], list[dict[str, str]] | None]
    # Seconds that all workers may stand still.
    still: float
    now: Callable[[], float] = time.monotonic
    since: float = 0.0  # no instance runs or starts
    down: float = 0.0  # none is ready
    looked: float = field(default=float("-inf"))
    # The restarts of each instance when it was first seen down, by its name and the time when it had come up last.
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def gone(self) -> bool:
        """Whether nobody should wait: a restart has failed, or none has been there or ready for too long."""
        now, found = self.now(), self.look()
        if now - self.looked > FORGOTTEN:
            self.since = self.down = now
        self.looked = self.now()
        if found is None:
            self.since = self.down = self.looked  # a busy release must lose nothing to somebody who sees nothing
            return False
        serving = [unit for unit in found if will_serve(unit)]
        if serving:
            self.since = self.down = self.looked
            # One that ends has not been up; a crash loop comes through that state, too.
            if any(unit.get("ActiveState") in {"active", "reloading"} for unit in found):
                self.seen.clear()
            return all(stands_still(unit, self.looked, self.still) for unit in serving)
        trying = [unit for unit in found if unit.get("ActiveState") == "activating"]
        if trying:
            self.since = self.looked
            failed = [self._failed(unit) for unit in trying]
            return all(failed) or self.looked - self.down >= PATIENCE_AFTER_CRASH
        return self.looked - self.since >= PATIENCE

    def _failed(self, unit: dict[str, str]) -> bool:
        """Whether a restart has failed since the instance was up; one that crashed once is waited for."""
        restarts = int(unit.get("NRestarts") or 0)
        key = (unit.get("Id", ""), unit.get("ActiveEnterTimestampMonotonic", ""))
        more = restarts - self.seen.setdefault(key, restarts)
        # systemd waits for the next restart, so the last one has failed.
        return more >= (1 if unit.get("SubState", "").startswith("auto-restart") else 2)


def answer(client: socket.socket, *, elsewhere: bool) -> None:
    """Tell a client that nobody is there; a request that another server may have is ended without an answer.

    Nginx then passes it on, and counts a failure of this server. It would do neither with a 503.
    """
    with contextlib.closing(client), contextlib.suppress(OSError):
        client.settimeout(CLIENT)
        head = b""
        while b"\r\n\r\n" not in head and len(head) < MOST_HEAD:
            part = client.recv(MOST_HEAD)
            if not part:
                return
            head += part
        if elsewhere and head.startswith(IDEMPOTENT):
            return
        client.sendall(ANSWER)
        client.shutdown(socket.SHUT_WR)
        # What the client still sends would make the kernel reset the connection before it has read the answer.
        deadline = time.monotonic() + CLIENT
        while time.monotonic() < deadline and client.recv(MOST_HEAD):
            pass


def serve(listening: socket.socket, watch: Watch, *, elsewhere: bool) -> None:
    """Watch the queue of the socket for ever, and answer what is in it while no release is ready."""
    listening.setblocking(False)
    queue = select.poll()
    queue.register(listening, select.POLLIN)
    threads = threading.BoundedSemaphore(MOST_THREADS)

    def work(client: socket.socket) -> None:
        try:
            answer(client, elsewhere=elsewhere)
        finally:
            threads.release()

    while True:
        queue.poll()
        time.sleep(UNANSWERED)
        if not queue.poll(0) or not watch.gone():
            continue
        # A release may be ready again at any moment, so a look is worth few answers.
        for _unused in range(MOST_THREADS):
            try:
                client, _address = listening.accept()
            except OSError:
                break
            client.setblocking(True)
            threads.acquire()
            threading.Thread(target=work, args=(client,), daemon=True).start()


def main() -> None:
    """Run on the socket that systemd has passed."""
    name, still = sys.argv[1], float(sys.argv[2])
    listening = socket.socket(fileno=LISTEN_FD)
    # Over a network there may be other servers of the app; on a path there is only Nginx of this host.
    elsewhere = listening.family != socket.AF_UNIX
    serve(listening, Watch(lambda: units(name), still), elsewhere=elsewhere)


if __name__ == "__main__":
    if os.environ.get("LISTEN_FDS") != "1":
        sys.exit("systemd starts this with the socket of an app.")
    main()
