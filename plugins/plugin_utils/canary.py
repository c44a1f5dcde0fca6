# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the first servers with a new release answer worse than those with the old one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._deploy.percentiles import percentile

# A p95 that is later by less is never too slow: a busy machine makes 6 ms of 2 ms.
NOTICEABLE = 10  # ms


@dataclass
class Side:
    """The answers of the canary, or of the others."""

    errors: int = 0
    times: Counter[int] = field(default_factory=Counter)

    def add(self, answers: Mapping[str, Any]) -> None:
        """Count an entry of the module `traffic` too."""
        self.errors += int(answers["errors"])
        self.times.update({int(ms): int(count) for ms, count in answers["times"].items()})

    @property
    def requests(self) -> int:
        """All answers."""
        return self.errors + self.times.total()

    @property
    def errors_percent(self) -> float:
        """Errors in a hundred requests."""
        return 100 * self.errors / max(1, self.requests)

    @property
    def p95_ms(self) -> float:
        """The 95th percentile by nearest rank (see module_utils/_deploy/probing.py) of answers without error."""
        return float(percentile(sorted(self.times.elements()), 0.95))

    def figures(self) -> dict[str, Any]:
        """The figures for a receipt."""
        return {"requests": self.requests, "errors": self.errors, "p95_ms": self.p95_ms}

    def __str__(self) -> str:
        """The figures in words."""
        share = f"{self.errors:,} errors in {self.requests:,} requests ({self.errors_percent:.1f} %)"
        return f"{share}, p95 {self.p95_ms:.0f} ms"


def judge(
    readings: Iterable[Sequence[Mapping[str, Any]]],
    canaries: Sequence[str],
    releases: Sequence[str],
    *,
    max_errors: float,
    max_slowdown: float,
    min_requests: int,
) -> dict[str, Any]:
    """Compare the canaries with all other servers; `problem` is a sentence, empty when they do well.

    `readings` has what the module `traffic` returned on each load balancer. `releases` are the new ones: what a canary
    answered with its old one, on its way out, does not count. With fewer than `min_requests` of clients on one side the
    probe's count too, and with fewer still nobody can tell.
    """
    every = [answers for reading in readings for answers in reading]
    count = {"clients": sides_of(every, canaries, releases, {False})}
    count["clients and the probe"] = sides_of(every, canaries, releases, {False, True})
    of = next((of for of, sides in count.items() if min(side.requests for side in sides) >= min_requests), "")
    canary, others = count[of or "clients and the probe"]
    few = "" if of == "clients" else f" Of clients alone it had {count['clients'][0].requests:,}, which is too few."
    told = f"Of {of or 'clients and the probe'}, the canary {', '.join(canaries)} had {canary}; "
    told += f"the others had {others}.{few}"
    problem = ""
    if not of:
        problem = (
            f"Too few requests reached the canary or the others: each needs {min_requests:,} (app_canary_min_requests)."
        )
    elif canary.errors_percent > others.errors_percent + max_errors:
        problem = (
            "The canary fails more often than the others, by more than "
            f"{max_errors:g} requests in a hundred (app_canary_max_errors)."
        )
    elif canary.p95_ms > max(others.p95_ms * max_slowdown, others.p95_ms + NOTICEABLE):
        problem = f"The canary is more than {max_slowdown:g} times as slow as the others (app_canary_max_slowdown)."
    return {
        "problem": problem,
        "summary": told,
        "judged_by": of,
        "canaries": list(canaries),
        "canary": canary.figures(),
        "others": others.figures(),
    }


def sides_of(
    every: Iterable[Mapping[str, Any]], canaries: Sequence[str], releases: Sequence[str], probe: set[bool]
) -> tuple[Side, Side]:
    """The canary and the others; an answer that names no release is an error, so it counts."""
    canary, others = Side(), Side()
    for answers in every:
        if answers["probe"] not in probe:
            continue
        if answers["server"] not in canaries:
            others.add(answers)
        elif answers["release"] in {"", *releases}:
            canary.add(answers)
    return canary, others
