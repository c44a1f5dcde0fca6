"""Print what the load saw, per kind of request and per operation.

    report.py LOAD OPERATIONS [LOAD OPERATIONS…]

LOAD is what load.py wrote, OPERATIONS has a line for each operation: its name, begin and end in seconds since 1970. The
folder of LOAD names the recipe. A request belongs to an operation that ran while it was open; the drain after the
operation's end is counted with it for `AFTER` seconds. `switch` is the time from an operation's begin to the first
answer of another build or release. What a kill (`KILL` in the name) costs is shown by kind, and is not a failure of the
recipe.
"""

from __future__ import annotations

import bisect
import statistics
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

AFTER = 3.0
KILL = "kill-"
# Those that should take less than 50 ms.
FAST = {"get", "post", "get-new", "post-new", "http2", "websocket", "websocket-open", "page", "first", "lazy"}


@dataclass(frozen=True)
class Request:
    """A line of the load."""

    began: float
    kind: str
    ms: float
    outcome: str
    answered_by: str

    @property
    def ended(self) -> float:
        """Seconds since 1970."""
        return self.began + self.ms / 1000

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


def switches_of(operations: list[Operation], requests: list[Request]) -> dict[str, list[float]]:
    """Seconds from the begin of each operation to the first answer of something else, by the operation's name."""
    answers = sorted((one.ended, one.answered_by) for one in requests if one.answered_by.split(" ")[0] not in {"-", ""})
    found: dict[str, list[float]] = defaultdict(list)
    for operation in operations:
        first = bisect.bisect(answers, (operation.begin, ""))
        before = answers[first - 1][1] if first else ""
        for ended, answered_by in answers[first:]:
            if ended > operation.end + AFTER:
                break
            if answered_by != before:
                found[operation.name].append(ended - operation.begin)
                break
    return found


def row(name: str, requests: list[Request], seconds: list[float], switches: list[float]) -> str:
    """A line of the table."""
    fast = [request.ms for request in requests if request.kind in FAST]
    longest = f"{max(fast):.0f} ms" if fast else "-"
    p99 = f"{statistics.quantiles(fast, n=100)[98]:.0f} ms" if len(fast) > 1 else "-"
    took = f"{statistics.median(seconds):.1f} s" if seconds else "-"
    switch = f"{statistics.median(switches):.1f} s" if switches else "-"
    failed = sum(request.failed for request in requests)
    return (
        f"{name:22}{len(seconds) or '-':>6}{took:>10}{switch:>10}{len(requests):>11,}{failed:>9,}{p99:>10}{longest:>10}"
    )


def names_of(requests: list[Request], operations: list[Operation]) -> list[str]:
    """The operation that each request belongs to, or "between"."""
    begins = [operation.begin for operation in operations]
    names = []
    for request in requests:
        number = bisect.bisect(begins, request.ended) - 1
        during = number >= 0 and request.began <= operations[number].end + AFTER
        names.append(operations[number].name if during else "between")
    return names


def shown(recipe: str, requests: list[Request], operations: list[Operation]) -> str:
    """The table of one recipe."""
    heads = f"{'':22}{'times':>6}{'median':>10}{'switch':>10}{'requests':>11}{'failed':>9}{'p99':>10}{'longest':>10}"
    lines = [f"\n{recipe}: requests while each operation ran; p99 and longest are of those that take < 50 ms", heads]
    switches = switches_of(operations, requests)
    inside: dict[str, list[Request]] = defaultdict(list)
    for request, name in zip(requests, names_of(requests, operations), strict=True):
        inside[name].append(request)
    for name in [*dict.fromkeys(operation.name for operation in operations), "between"]:
        seconds = [one.seconds for one in operations if one.name == name]
        lines.append(row(name, inside[name], seconds, switches.get(name, [])))
    lines += [row("all", requests, [], []), "", f"{recipe}: by kind of request", heads]
    kinds: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        kinds[request.kind].append(request)
    lines += [row(kind, kinds[kind], [], []) for kind in sorted(kinds)]
    outcomes = Counter(f"{request.kind}: {request.outcome}" for request in requests if request.failed)
    lines += ["", f"{recipe}: failed"] + [f"  {count:,} {what}" for what, count in outcomes.most_common()]
    lines += [] if outcomes else ["  none"]
    for name in (name for name in inside if name.startswith(KILL)):
        lost = Counter(request.kind for request in inside[name] if request.failed)
        told = ", ".join(f"{count} {kind}" for kind, count in lost.most_common()) or "nothing"
        lines.append(f"{recipe}: lost by all {name} together: {told}")
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
    """Print the tables; the exit status says whether the first recipe failed no request outside of kills."""
    paths = [Path(argument) for argument in sys.argv[1:]]
    failed = []
    for load, operations in zip(paths[::2], paths[1::2], strict=True):
        requests, done = requests_of(load), operations_of(operations)
        names = names_of(requests, done)
        judged = (one for one, name in zip(requests, names, strict=True) if not name.startswith(KILL))
        failed.append(sum(one.failed for one in judged))
        print(shown(load.parent.name, requests, done))
    return int(failed[0] > 0)


if __name__ == "__main__":
    sys.exit(main())
