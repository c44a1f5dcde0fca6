"""Run the variants in turn, one worker each, and print what each costs beside the application without middleware.

    measure.py ROUNDS SECONDS

Workers are pinned to the first core, the load and Redis to the second. A ratio is the median of the ratios inside the
rounds; the other figures are medians.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "roles/app/files/shop"
PATHS = os.pathsep.join(
    map(str, (PROJECT, PROJECT / "tests/load", ROOT / "roles/gunicorn/files", Path(__file__).parent))
)
CORES = sorted(os.sched_getaffinity(0))
WORKER_CORE, LOAD_CORE = CORES[0], CORES[-1]
CONNECTIONS = 32
PORT = 18100
TICK = os.sysconf("SC_CLK_TCK")
NO_LIMIT = "100000000"


@dataclass
class Variant:
    """A stack of middleware to measure, and what was measured."""

    name: str
    environment: dict[str, str]
    port: int = 0
    worker: int = 0
    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def variants(redis: str) -> list[Variant]:
    """What is compared: the same application each time, and no variant ever refuses a request."""
    tutorial = {"TUTORIAL_LIMIT": NO_LIMIT, "REDIS_URL": redis}
    return [
        Variant("no middleware", {"STACK": "none"}),
        Variant("everything in one layer, a lower bound", {"STACK": "fused"}),
        Variant("that, and four layers that do nothing", {"STACK": "empty empty empty empty fused"}),
        Variant("ours, everything on, state in memory", {"STACK": "ours"}),
        Variant("ours, everything on, state in Redis", {"STACK": "ours", "APP_REDIS_URL": redis}),
        Variant("tutorial: time-out alone", {"STACK": "timeout", **tutorial}),
        Variant("tutorial: limit in Redis alone", {"STACK": "limit", **tutorial}),
        Variant("tutorial: everything on", {"STACK": "metrics timeout limit", **tutorial}),
    ]


@contextmanager
def running(core: int, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), *command],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": PATHS, **environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def gunicorn(variant: Variant) -> tuple[str, ...]:
    """How a variant is started: as in production, but for systemd and the number of workers."""
    options = [
        "--workers",
        "1",
        "--worker-class",
        "drain_worker.DrainWorker",
        "--no-control-socket",
        "--log-level",
        "warning",
    ]
    return sys.executable, "-m", "gunicorn", "variants:app", *options, "--bind", f"127.0.0.1:{variant.port}"


def url(variant: Variant) -> str:
    """What is asked."""
    return f"http://127.0.0.1:{variant.port}/api/orders/1"


def wrk(variant: Variant, seconds: int) -> tuple[float, float, int]:
    """Requests per second, p99 in milliseconds and the number of requests; fails on any answer but 200."""
    options = [
        "--threads",
        "1",
        "--connections",
        str(CONNECTIONS),
        "--duration",
        str(seconds),
        "--latency",
        url(variant),
    ]
    command = ["taskset", "--cpu-list", str(LOAD_CORE), "wrk", *options]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"{variant.name} did not answer every request:\n{text}")
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit], int(re.search(r"(\d+) requests in", text)[1])


def cpu_seconds(process: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def wait_for(variant: Variant, master: int) -> None:
    """Wait until the one worker answers, and remember its process id."""
    for _ in range(200):
        with suppress(OSError), urllib.request.urlopen(url(variant), timeout=5) as answer:  # noqa: S310 - our own address
            if answer.status == 200:
                children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
                variant.worker = int(children[0])
                return
        time.sleep(0.05)
    sys.exit(f"{variant.name} did not start.")


def measure(rounds: int, seconds: int) -> list[Variant]:
    """Every variant once a round, in turn."""
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        socket = f"{folder}/redis.sock"
        stack.enter_context(running(LOAD_CORE, "redis-server", "--port", "0", "--unixsocket", socket, "--save", ""))
        everyone = variants(f"unix://{socket}")
        for port, variant in enumerate(everyone, PORT):
            variant.port = port
            process = stack.enter_context(
                running(
                    WORKER_CORE,
                    *gunicorn(variant),
                    TMPDIR=folder,
                    APP_RATE_LIMIT_ANONYMOUS=NO_LIMIT,
                    **variant.environment,
                )
            )
            wait_for(variant, process.pid)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for variant in everyone:
                before = cpu_seconds(variant.worker)
                rate, p99, requests = wrk(variant, seconds)
                variant.rates.append(rate)
                variant.p99s.append(p99)
                variant.cpu.append((cpu_seconds(variant.worker) - before) / requests * 1e6)
    return everyone


def main() -> None:
    """Measure, and print the table."""
    everyone = measure(int(sys.argv[1]), int(sys.argv[2]))
    none = everyone[0]
    print(f"{'':38}{'requests/s':>11}{'of none':>9}{'p99 ms':>8}{'of none':>9}{'CPU µs':>8}")
    for variant in everyone:
        ratio = statistics.median(a / b for a, b in zip(variant.rates, none.rates, strict=True))
        p99 = statistics.median(variant.p99s)
        late = p99 / statistics.median(none.p99s)
        cpu = statistics.median(variant.cpu)
        print(f"{variant.name:38}{statistics.median(variant.rates):11.0f}{ratio:9.2f}{p99:8.1f}{late:9.2f}{cpu:8.0f}")


if __name__ == "__main__":
    main()
