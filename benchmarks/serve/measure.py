"""Ask every variant in turn, round by round, and print what each costs beside the workers alone; runs on the host.

    measure.py ROUNDS SECONDS

A ratio is the median of the ratios inside the rounds; the other figures are medians. CPU is what all processes but the
load have used, so the workers are in it. Every round begins one variant later, so none always follows the same.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FRONTS = Path(__file__).with_name("fronts")
LIVE = Path("/etc/ssl/sites/hello/live")
NAME = "hello.example.com"
CONNECTIONS = 32
SERVERS = {"gunicorn", "python", "python3", "nginx", "haproxy", "caddy", "systemd-socket-", "socat"}


@dataclass
class Variant:
    """One way to the workers, and what was measured."""

    name: str
    url: str
    http2: bool = False
    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


VARIANTS = [
    Variant("workers alone", "http://127.0.0.1:8000/"),
    Variant("ours, TLS, HTTP/1.1", f"https://{NAME}:443/"),
    Variant("ours, TLS, HTTP/2", f"https://{NAME}:443/", http2=True),
    Variant("the least of Nginx, TLS, HTTP/1.1", f"https://{NAME}:8443/"),
    Variant("the least of Nginx, TLS, HTTP/2", f"https://{NAME}:8443/", http2=True),
    Variant("the lesson's Nginx, TLS, HTTP/1.1", f"https://{NAME}:8440/"),
    Variant("HAProxy, TLS, HTTP/1.1", f"https://{NAME}:8441/"),
    Variant("HAProxy, TLS, HTTP/2", f"https://{NAME}:8441/", http2=True),
    Variant("Caddy, TLS, HTTP/1.1", f"https://{NAME}:8442/"),
    Variant("Caddy, TLS, HTTP/2", f"https://{NAME}:8442/", http2=True),
]


@contextmanager
def running(*command: str) -> Iterator[None]:
    """A server that ends with the block."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def everything() -> Iterator[None]:
    """The workers on a port too, as the lesson has them, and the servers that are compared."""
    hosts = Path("/etc/hosts")
    if NAME not in hosts.read_text():
        hosts.write_text(f"{hosts.read_text()}127.0.0.1 {NAME}\n")
    Path("/run/haproxy.pem").write_text((LIVE / "fullchain.pem").read_text() + (LIVE / "privkey.pem").read_text())
    with ExitStack() as stack:
        stack.enter_context(running(*workers_on_a_port()))
        for front in ("lesson.conf", "least.conf"):
            stack.enter_context(running("nginx", "-c", str(FRONTS / front), "-g", "daemon off;"))
        stack.enter_context(running("haproxy", "-db", "-f", str(FRONTS / "haproxy.cfg")))
        stack.enter_context(running("caddy", "run", "--adapter", "caddyfile", "--config", str(FRONTS / "Caddyfile")))
        time.sleep(3)
        yield


def workers_on_a_port() -> list[str]:
    """The same release and settings as the service, on a port; the workers of the service stay idle meanwhile."""
    options = ["--workers", "2", "--worker-class", "uvicorn_worker.UvicornWorker", "--keep-alive", "75"]
    options += ["--log-level", "warning", "--no-control-socket", "--bind", "127.0.0.1:8000"]
    release = Path("/srv/hello/current").resolve()
    return [f"{release}/venv/bin/python", "-m", "gunicorn", "main:app", "--chdir", f"{release}/src", *options]


def load(variant: Variant, seconds: int) -> tuple[float, float, int]:
    """Requests per second, p99 in milliseconds and the number of requests; ends the program on any answer but 2xx."""
    log = Path("/run/h2load.log")
    log.unlink(missing_ok=True)
    protocol = [] if variant.http2 else ["--h1"]
    command = [
        "h2load",
        "-c",
        str(CONNECTIONS),
        "-t",
        "1",
        "-D",
        str(seconds),
        "--log-file",
        str(log),
        *protocol,
        variant.url,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    others = re.search(r"(\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if not counts or not others or counts[2] != "0" or any(int(number) for number in others.groups()):
        sys.exit(f"{variant.name} did not answer every request:\n{text}")
    # Not the seconds of the load: Nginx lets a connection go after 1,000 requests, which is the end for HTTP/2's.
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    took = max(int(start) + int(time) for start, _, time in lines) - min(int(start) for start, _, _ in lines)
    times = sorted(int(time) for _, _, time in lines)
    return len(times) / took * 1e6, times[int(len(times) * 0.99)] / 1000, len(times)


def cpu_seconds() -> float:
    """What all processes of servers, and those of theirs that have ended, have used so far."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name in SERVERS:
            total += sum(map(int, rest.split()[11:15]))
    return total / 100


def main() -> None:
    """Measure, and print the table."""
    rounds, seconds = int(sys.argv[1]), int(sys.argv[2])
    with everything():
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for variant in VARIANTS[number:] + VARIANTS[:number]:
                before = cpu_seconds()
                rate, p99, requests = load(variant, seconds)
                variant.rates.append(rate)
                variant.p99s.append(p99)
                variant.cpu.append((cpu_seconds() - before) / requests * 1e6)
    print(f"{'':36}{'requests/s':>11}{'of alone':>9}{'p99 ms':>8}{'CPU µs':>8}")
    for variant in VARIANTS:
        ratio = statistics.median(a / b for a, b in zip(variant.rates, VARIANTS[0].rates, strict=True))
        rate, p99, cpu = (statistics.median(values) for values in (variant.rates, variant.p99s, variant.cpu))
        print(f"{variant.name:36}{rate:11.0f}{ratio:9.2f}{p99:8.1f}{cpu:8.0f}")


if __name__ == "__main__":
    main()
