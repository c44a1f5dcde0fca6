"""Print what the load saw, per kind of request and per operation.

    report.py LOAD OPERATIONS [LOAD OPERATIONS…]

LOAD is what load.py wrote, OPERATIONS has a line for each operation: its name, begin and end in seconds since 1970. The
folder of LOAD names the recipe. A request belongs to an operation that ran while it was open; the drain after the
operation's end is counted with it for `AFTER` seconds.
"""

from __future__ import annotations

import bisect
import statistics
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

AFTER = 3.0
# Those that should take less than 50 ms.
FAST = {"get", "post", "get-new", "post-new", "http2", "websocket", "websocket-open"}


@dataclass(frozen=True)
class Request:
    """A line of the load."""

    began: float
    kind: str
    ms: float
    outcome: str
    answered_by: str

    @property
    def failed(self) -> bool:
        """Whether anything was wrong with it."""
        return self.outcome != "ok"


@dataclass(frozen=True)
class Operation:
    """A line of the operations."""

    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


def requests_of(path: Path) -> list[Request]:
    """The requests of a load in the order in which they began."""
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    every = [Request(float(began), kind, float(ms), outcome, by) for began, kind, ms, outcome, by in lines]
    return sorted(every, key=lambda request: request.began)


def operations_of(path: Path) -> list[Operation]:
    """The operations in their order."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return [Operation(name, float(begin), float(end)) for name, begin, end in lines]


def row(name: str, requests: list[Request], seconds: list[float]) -> str:
    """A line of the table."""
    fast = [request.ms for request in requests if request.kind in FAST]
    longest = f"{max(fast):.0f} ms" if fast else "-"
    p99 = f"{statistics.quantiles(fast, n=100)[98]:.0f} ms" if len(fast) > 1 else "-"
    took = f"{statistics.median(seconds):.1f} s" if seconds else "-"
    failed = sum(request.failed for request in requests)
    return f"{name:22}{len(seconds) or '-':>6}{took:>10}{len(requests):>11,}{failed:>9,}{p99:>10}{longest:>10}"


def shown(recipe: str, requests: list[Request], operations: list[Operation]) -> str:
    """The table of one recipe."""
    heads = f"{'':22}{'times':>6}{'median':>10}{'requests':>11}{'failed':>9}{'p99':>10}{'longest':>10}"
    lines = [f"\n{recipe}: requests while each operation ran; p99 and longest are of those that take < 50 ms", heads]
    begins = [operation.begin for operation in operations]
    inside: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        number = bisect.bisect(begins, request.began + request.ms / 1000) - 1
        during = number >= 0 and request.began <= operations[number].end + AFTER
        inside[operations[number].name if during else "between"].append(request)
    for name in [*dict.fromkeys(operation.name for operation in operations), "between"]:
        lines.append(row(name, inside[name], [one.seconds for one in operations if one.name == name]))
    lines += [row("all", requests, []), "", f"{recipe}: by kind of request", heads]
    kinds: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        kinds[request.kind].append(request)
    lines += [row(kind, kinds[kind], []) for kind in sorted(kinds)]
    outcomes = Counter(f"{request.kind}: {request.outcome}" for request in requests if request.failed)
    lines += ["", f"{recipe}: failed"] + [f"  {count:,} {what}" for what, count in outcomes.most_common()]
    lines += [] if outcomes else ["  none"]
    pairs = {request.answered_by for request in requests if request.answered_by.split(" ")[0] not in {"-", ""}}
    builds = defaultdict(set)
    for release, _unused, build in (pair.partition(" ") for pair in pairs):
        builds[release].add(build)
    mixed = [release for release, found in builds.items() if len(found) > 1]
    if builds:
        told = f"mixed builds in {', '.join(mixed)}" if mixed else "each ran one build and that build's dependency"
        lines.append(f"{recipe}: {len(builds)} releases answered; {told}")
    return "\n".join(lines)


def main() -> int:
    """Print the tables; the exit status says whether the first recipe failed no request."""
    paths = [Path(argument) for argument in sys.argv[1:]]
    failed = []
    for load, operations in zip(paths[::2], paths[1::2], strict=True):
        requests = requests_of(load)
        failed.append(sum(request.failed for request in requests))
        print(shown(load.parent.name, requests, operations_of(operations)))
    return int(failed[0] > 0)


if __name__ == "__main__":
    sys.exit(main())
