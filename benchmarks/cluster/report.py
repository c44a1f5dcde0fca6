"""Print the times of site.yml by number of app servers, and what one more costs.

    report.py TIMES

TIMES has lines of name, number of servers and seconds. The slope is that of the least-squares line through the medians.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Print a row for each number of servers, and a line for each slope."""
    times: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        name, servers, seconds = line.split()
        times[name][int(servers)].append(float(seconds))
    print(f"\n{'app servers':>12}" + "".join(f"{name:>14}" for name in times))
    for servers in next(iter(times.values())):
        medians = [statistics.median(by_servers[servers]) for by_servers in times.values()]
        print(f"{servers:>12}" + "".join(f"{median:>12.2f} s" for median in medians))
    print()
    for name, by_servers in times.items():
        if len(by_servers) > 1:
            medians = [statistics.median(seconds) for seconds in by_servers.values()]
            line = statistics.linear_regression(list(by_servers), medians)
            print(f"{name}: {line.intercept:.2f} s, and {line.slope:.2f} s for each app server")


if __name__ == "__main__":
    main()
