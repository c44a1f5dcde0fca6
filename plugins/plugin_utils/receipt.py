# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a receipt of what the probes of a deploy have seen: figures for a file, and a sentence for the play."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._deploy.page_assets import missing
from ansible_collections.production.fastapi.plugins.module_utils._deploy.percentiles import BUCKET, percentile
from ansible_collections.production.fastapi.plugins.plugin_utils.rejected import sentences_of

VERSION = 1
# In these the instances change places; what lies before and after is what clients are used to.
MOVING = {"switch", "drain", "rollback"}
PHASES = ("before", "during", "after")
SLOT_WIDTHS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
MOST_SLOTS = 100


@dataclass(frozen=True)
class Bucket:
    """The requests of one probe that began in the same tenth of a second; `at` is seconds from the receipt's begin."""

    at: float
    failed: int
    releases: Mapping[str, int]
    times: Sequence[float]  # ms

    def overlaps(self, begin: float, end: float) -> bool:
        """Whether one of its requests may have been open between `begin` and `end`."""
        return self.at <= end and self.at + BUCKET + max(self.times) / 1000 >= begin


def make_receipt(
    app: str,
    release: str,
    probes: Mapping[str, Any],
    *,
    previous: str = "",
    by: str = "",
    events: Iterable[Mapping[str, Any]] = (),
    canary: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The receipt of a deploy, the same for the same data; RETURN of the module `receipt` has its parts.

    `probes` has for each load balancer what the module `probe` returned. `events` are further ones, each a name, `at`
    and, if known, `until` in seconds since 1970, and a host. `canary` is what `judge` returns.
    """
    seen = {host: probe for host, probe in sorted(probes.items()) if probe and probe.get("requests")}
    began = min((probe["began"] for probe in seen.values()), default=0.0)
    seconds = max((probe["began"] + probe["seconds"] for probe in seen.values()), default=0.0) - began
    buckets = sorted(
        (bucket for probe in seen.values() for bucket in buckets_of(probe, began)), key=lambda bucket: bucket.at
    )
    timeline = timeline_of(seen, list(events), began, seconds)
    kinds: Counter[str] = Counter()
    failed_kinds: Counter[str] = Counter()
    assets: dict[str, str] = {}
    rejected: dict[str, dict[str, Any]] = {}
    for probe in seen.values():
        kinds.update(probe["kinds"])
        failed_kinds.update(probe.get("failed_kinds", {}))
        for folder, told in probe.get("rejected", {}).items():
            rejected[folder] = {**told, "count": told["count"] + rejected.get(folder, {"count": 0})["count"]}
        # What one load balancer does not have any more is missing to the clients of it.
        assets |= {path: status for path, status in probe.get("assets", {}).items() if assets.get(path, "200") == "200"}
    receipt = {
        "version": VERSION,
        "app": app,
        "release": release,
        "previous": previous,
        "by": by,
        "began": iso(began) if seen else "",
        "seconds": round(seconds, 1),
        "requests": sum(probe["requests"] for probe in seen.values()),
        "failed": sum(probe["failed"] for probe in seen.values()),
        "again": sum(probe["again"] for probe in seen.values()),
        "limited": sum(probe.get("limited", 0) for probe in seen.values()),
        "kinds": dict(sorted(kinds.items())),
        "failed_kinds": dict(sorted(failed_kinds.items())),
        "assets": dict(sorted(assets.items())),
        "rejected": dict(sorted(rejected.items())),
        "phases": phases_of(buckets, timeline),
        "events": timeline,
        "releases": releases_of(buckets),
        **slots_of(buckets, seconds),
        "failures": failures_of(seen, began),
        "canary": dict(canary or {}),
        "probes": [
            {"host": host, **{key: probe.get(key) for key in ("domain", "path", "rate", "complete", "requests")}}
            for host, probe in seen.items()
        ],
    }
    return {**receipt, "summary": summary_of(receipt), "line": line_of(receipt)}


def iso(seconds: float, timespec: str = "seconds") -> str:
    """A time since 1970 as text, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def buckets_of(probe: Mapping[str, Any], began: float) -> list[Bucket]:
    """The buckets of one probe, moved to the begin of the receipt."""
    shift = probe["began"] - began
    return [
        Bucket(index * BUCKET + shift, failed, dict(zip(probe["releases"], counts, strict=True)), times)
        for index, failed, counts, times in probe["buckets"]
    ]


def timeline_of(
    probes: Mapping[str, Any], events: Sequence[Mapping[str, Any]], began: float, seconds: float
) -> list[dict[str, Any]]:
    """All events in order, in seconds from the begin; one without an end lasts until the next one of its host.

    A mark is set on every load balancer, so the same one of several probes is one event, from its earliest time.
    """
    marks: dict[tuple[str, int], float] = {}
    for probe in probes.values():
        passed: Counter[str] = Counter()
        for event in probe["events"]:
            key = (event["name"], passed[event["name"]])
            passed[event["name"]] += 1
            marks[key] = min(marks.get(key, math.inf), event["at"])
    every: list[dict[str, Any]] = [{"name": name, "at": at, "host": ""} for (name, _unused), at in marks.items()]
    every += [{"host": "", **event, "at": float(event["at"])} for event in events]
    every.sort(key=lambda event: event["at"])
    timeline = []
    for number, event in enumerate(every):
        following = (other["at"] for other in every[number + 1 :] if other["host"] == event["host"])
        until = float(event.get("until") or next(following, began + seconds))
        timeline.append(
            {
                "name": str(event["name"]),
                "host": str(event["host"]),
                "at": round(event["at"] - began, 3),
                "seconds": round(max(0.0, until - event["at"]), 3),
            }
        )
    return timeline


def window_of(timeline: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """When the instances change places: from the first of the moving events to the end of the last; never if none."""
    moving = [event for event in timeline if event["name"] in MOVING]
    if not moving:
        return math.inf, math.inf
    return min(event["at"] for event in moving), max(event["at"] + event["seconds"] for event in moving)


def phases_of(buckets: Sequence[Bucket], timeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Figures before, during and after the switch, and of all; a request that was open during it counts as during."""
    begin, end = window_of(timeline)
    inside: dict[str, list[Bucket]] = {name: [] for name in PHASES}
    for bucket in buckets:
        name = "during" if bucket.overlaps(begin, end) else "before" if bucket.at < begin else "after"
        inside[name].append(bucket)
    return [{"name": name, **figures(some)} for name, some in {**inside, "all": buckets}.items()]


def figures(buckets: Iterable[Bucket]) -> dict[str, Any]:
    """Requests, failures and times (ms) of some buckets."""
    some = list(buckets)
    ordered = sorted(time for bucket in some for time in bucket.times)
    return {
        "requests": len(ordered),
        "failed": sum(bucket.failed for bucket in some),
        "p50_ms": percentile(ordered, 0.5),
        "p99_ms": percentile(ordered, 0.99),
        "longest_ms": ordered[-1] if ordered else 0.0,
    }


def releases_of(buckets: Iterable[Bucket]) -> list[dict[str, Any]]:
    """Each release that answered, in the order in which they did, with its first and last second."""
    found: dict[str, dict[str, Any]] = {}
    for bucket in buckets:
        for name, count in bucket.releases.items():
            if count:
                at = round(bucket.at, 1)
                entry = found.setdefault(name, {"name": name, "requests": 0, "first": at, "last": at})
                entry["requests"] += count
                entry["last"] = at
    return list(found.values())


def slots_of(buckets: Sequence[Bucket], seconds: float) -> dict[str, Any]:
    """What a plot shows: equal slots of time, at most 100 unless the probe ran for hours."""
    width = next((width for width in SLOT_WIDTHS if seconds / width <= MOST_SLOTS), SLOT_WIDTHS[-1])
    inside: dict[int, list[Bucket]] = {}
    for bucket in buckets:
        inside.setdefault(int(bucket.at / width + 1e-9), []).append(bucket)
    slots = []
    for number, some in sorted(inside.items()):
        answered: Counter[str] = Counter()
        for bucket in some:
            answered.update({name: count for name, count in bucket.releases.items() if count})
        slots.append({"at": round(number * width, 1), **figures(some), "releases": dict(answered)})
    return {"slot_seconds": width, "slots": slots}


def failures_of(probes: Mapping[str, Any], began: float) -> list[dict[str, Any]]:
    """Each failure that the probes have kept, in order."""
    every = [(failure["at"], host, failure) for host, probe in probes.items() for failure in probe["failures"]]
    return [
        {
            "time": iso(at, "milliseconds"),
            "at": round(at - began, 3),
            "host": host,
            "kind": failure["kind"],
            "ms": failure["ms"],
            "release": failure["release"],
        }
        for at, host, failure in sorted(every, key=lambda entry: entry[:2])
    ]


def milliseconds(value: float) -> str:
    """A time for people: `3.4 ms`, `41 ms`, `1.3 s`."""
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def requests_of(receipt: Mapping[str, Any]) -> str:
    """How many requests, and whose: `1,240 requests of the probe for /readyz through Nginx`."""
    paths = " and ".join(dict.fromkeys(str(probe["path"]) for probe in receipt["probes"]))
    count = f"{receipt['requests']:,} request{'' if receipt['requests'] == 1 else 's'}"
    return f"{count} of the probe for {paths} through Nginx"


def remarks_of(receipt: Mapping[str, Any]) -> list[str]:
    """What the figures do not say by themselves, a sentence each."""
    remarks = []
    refused = Counter(receipt["kinds"])
    refused.subtract(receipt["failed_kinds"])
    for kind, number in sorted(refused.items()):
        if number > 0 and kind.isdigit() and int(kind) >= 400:
            how_many = "all" if number == receipt["requests"] else f"{number:,}"
            remarks.append(
                f"The app answered {kind} to {how_many} of them;"
                " write a path that it answers with 200 in app_verify_path."
            )
    if receipt["limited"]:
        remarks.append(f"Nginx's rate limit refused {receipt['limited']:,} more, which are not counted.")
    remarks += sentences_of(receipt["rejected"], "meanwhile")
    if gone := missing(receipt["assets"]):
        shown = ", ".join(f"{path} ({receipt['assets'][path]})" for path in gone[:3])
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        remarks.append(
            f"{len(gone)} of {len(receipt['assets'])} files of the page before the deploy are gone: {shown}{more};"
            " pages that are open in browsers still ask for them."
        )
    return remarks


def line_of(receipt: Mapping[str, Any]) -> str:
    """The receipt for the last line of a deploy."""
    if not receipt["requests"]:
        return "the probe sent no request through Nginx"
    line = f"{requests_of(receipt)}, {receipt['failed']:,} failed"
    remarks = remarks_of(receipt)
    return f"{line}. {' '.join(remarks)}" if remarks else line


def summary_of(receipt: Mapping[str, Any]) -> str:
    """The receipt in a few sentences."""
    if not receipt["requests"]:
        return "The probe sent no request through Nginx during the deploy."
    phases = {phase["name"]: phase for phase in receipt["phases"]}
    failed = f"{receipt['failed']:,} failed"
    if receipt["failed_kinds"]:
        failed += f" ({', '.join(f'{kind}: {number:,}' for kind, number in receipt['failed_kinds'].items())})"
    told = [f"{milliseconds(phases[name]['p99_ms'])} {name}" for name in PHASES[:2] if phases[name]["requests"]]
    p99 = ", ".join(told) if phases["during"]["requests"] else milliseconds(phases["all"]["p99_ms"])
    longest = milliseconds(phases["all"]["longest_ms"])
    figures = f"{requests_of(receipt)} during the deploy: {failed}; p99 {p99}; longest {longest}."
    return " ".join([figures, *remarks_of(receipt)])
