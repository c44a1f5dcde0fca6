# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A receipt as one page of HTML that needs no script and nothing from elsewhere.

Plots are SVG that stretches with the page, so what must not stretch, as all text, is HTML placed in percent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.page import document
from ansible_collections.production.fastapi.plugins.plugin_utils.receipt import milliseconds, window_of

COLOURS = 6
MOST_ROWS = 200
UNNAMED = "no release named"
NONE = "\N{EN DASH}"

KINDS = {
    "answer": "an answer that is not HTTP, or was cut off",
    "closed": "connection closed before the answer",
    "refused": "connection refused",
    "reset": "connection reset",
    "timeout": "no answer in time",
    "tls": "TLS failed",
    "500": "Internal Server Error",
    "502": "Bad Gateway",
    "503": "Service Unavailable",
    "504": "Gateway Timeout",
}

STYLE = (
    """
.axes { display: grid; grid-template-columns: 3.6rem 1fr; column-gap: .5rem; font-size: .75rem; color: var(--soft);
  line-height: 1; margin-top: .75rem; }
.y, .x, .track { position: relative; }
.y span { position: absolute; right: 0; transform: translateY(-50%); white-space: nowrap; }
.x { grid-column: 2; height: 1.6rem; }
.x span { position: absolute; top: .5rem; transform: translateX(-50%); white-space: nowrap; }
.x span:first-child { transform: none; } .x span.last { transform: translateX(-100%); }
svg { display: block; width: 100%; height: 100%; overflow: visible; }
.tall { height: 13rem; } .low { height: 8rem; }
.row { text-align: right; line-height: 1.4rem; color: var(--ink); white-space: nowrap; }
.track { height: 1.4rem; border-bottom: 1px solid var(--line); }
.track i { position: absolute; top: .25rem; height: .9rem; min-width: 3px; border-radius: 2px; background: var(--c0); }
.track i.moving { background: var(--time); }
.track span { position: absolute; line-height: 1.4rem; padding: 0 .35rem; white-space: nowrap; }
.band { fill: var(--band); } .grid { stroke: var(--line); } .reach { stroke: var(--reach); }
.middle { stroke: var(--time); }
.fault { stroke: var(--bad); }
.grid, .reach, .middle, .fault { fill: none; vector-effect: non-scaling-stroke; }
.reach { stroke-width: 2; } .middle { stroke-width: 4; stroke-linecap: round; }
.fault { stroke-width: 9; stroke-linecap: round; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; padding: 0; }
ul, li { font-size: .875rem; } li::before { content: ""; display: inline-block; width: .8em; height: .8em;
  border-radius: 2px; background: var(--mark); margin-right: .4em; vertical-align: -.05em; }
summary { cursor: pointer; margin-top: .75rem; color: var(--soft); font-size: .875rem; }
footer { margin: 1.25rem .25rem 0; }
@media (max-width: 30rem) { table { font-size: .8rem; } thead th { font-size: .7rem; }
  th, td { padding-left: .35rem; } .verdict { font-size: 1.9rem; } }
"""
    + "".join(f".r{number} {{ fill: var(--c{number}); --mark: var(--c{number}); }}\n" for number in range(COLOURS))
    + ".rx { fill: var(--none); --mark: var(--none); }\n"
)


def page_of(receipt: Mapping[str, Any]) -> str:
    """The page of a receipt that has at least one request; the same for the same receipt."""
    parts = [
        verdict(receipt),
        phases(receipt),
        canary(receipt),
        times(receipt),
        timeline(receipt),
        mix(receipt),
        failures(receipt),
    ]
    title = f"{receipt['app']} {receipt['release']}: {receipt['failed']:,} of {receipt['requests']:,} failed"
    return document(title, "\n".join(filter(None, [*parts, footer(receipt)])), STYLE)


def verdict(receipt: Mapping[str, Any]) -> str:
    """What was deployed, and whether anybody noticed."""
    failed = receipt["failed"]
    before = f" in place of <code>{escape(receipt['previous'])}</code>" if receipt["previous"] else ""
    by = f" by {escape(receipt['by'])}" if receipt["by"] else ""
    when = receipt["began"].replace("T", " ").replace("Z", " UTC")
    return (
        f"<header>\n<h1>Deploy of <b>{escape(receipt['app'])}</b>, release <b>{escape(receipt['release'])}</b></h1>\n"
        f'<p class="verdict {"bad" if failed else "good"}">{failed:,} of {receipt["requests"]:,} requests failed</p>\n'
        f"<p>{escape(receipt['summary'])}</p>\n"
        f'<p class="soft">{escape(when)}, {duration(receipt["seconds"])}{by}{before}</p>\n</header>'
    )


def phases(receipt: Mapping[str, Any]) -> str:
    """Requests, failures and times before, during and after the switch."""
    rows = [
        [phase["name"], f"{phase['requests']:,}", f"{phase['failed']:,}", *times_of(phase)]
        for phase in receipt["phases"]
    ]
    heads = ["", "requests", "failed", "median", "99 %", "longest"]
    return section(
        "Before, during and after the switch",
        "Through Nginx, over TLS, on new and kept-alive connections.",
        table("Figures by phase", heads, rows),
    )


def canary(receipt: Mapping[str, Any]) -> str:
    """How the first servers with the new release did beside the others; nothing where they were not watched."""
    seen = receipt.get("canary")
    if not seen:
        return ""
    rows = [
        [
            name,
            f"{side['requests']:,}",
            f"{side['errors']:,}",
            milliseconds(side["p95_ms"]) if side["requests"] else NONE,
        ]
        for name, side in ((", ".join(seen["canaries"]), seen["canary"]), ("the others", seen["others"]))
    ]
    note = f"{seen['problem']} {seen['summary']}".strip()
    return section("The canary beside the others", note, table("The canary", ["", "requests", "errors", "95 %"], rows))


def times_of(figures: Mapping[str, Any]) -> list[str]:
    """Median, 99th percentile and longest time in words; a dash without requests."""
    return [milliseconds(figures[key]) if figures["requests"] else NONE for key in ("p50_ms", "p99_ms", "longest_ms")]


def times(receipt: Mapping[str, Any]) -> str:
    """How long answers took, over time, on a logarithmic scale."""
    slots, width = receipt["slots"], receipt["slot_seconds"]
    x = scale(receipt)
    values = [slot["longest_ms"] for slot in slots] + [failure["ms"] for failure in receipt["failures"]]
    top = math.ceil(math.log10(max(10.0, *values)))
    bottom = math.floor(math.log10(max(0.1, min(*(slot["p50_ms"] for slot in slots), 1.0))))

    def y(value: float) -> float:
        share = (math.log10(max(value, 10.0**bottom)) - bottom) / (top - bottom)
        return round(100 * (1 - min(1.0, share)), 2)

    grid = "".join(f"M0 {y(10.0**power):g}H1000" for power in range(bottom, top + 1))
    middles = [(x(slot["at"] + width / 2), slot) for slot in slots]
    reach = "".join(f"M{at:g} {y(slot['p50_ms']):g}V{y(slot['longest_ms']):g}" for at, slot in middles)
    middle = "".join(f"M{at:g} {y(slot['p50_ms']):g}h0" for at, slot in middles)
    fault = "".join(f"M{x(failure['at']):g} {y(failure['ms']):g}h0" for failure in receipt["failures"])
    labels = [(y(10.0**power), milliseconds_tick(10.0**power)) for power in range(bottom, top + 1)]
    shapes = f'{band(receipt)}<path class="grid" d="{grid}"/><path class="reach" d="{reach}"/>'
    shapes += f'<path class="middle" d="{middle}"/>' + (f'<path class="fault" d="{fault}"/>' if fault else "")
    red = " Red dots are failures." if fault else ""
    note = f"The median of each {width:g} s as a dot, the longest as a line; the switch is shaded.{red}"
    rows = [
        [f"{slot['at']:.1f} s", f"{slot['requests']:,}", f"{slot['failed']:,}", *times_of(slot), mix_of(slot)]
        for slot in slots
    ]
    heads = ["from", "requests", "failed", "median", "99 %", "longest", "releases"]
    drawn = plot("tall", f"Time of answers. {receipt['summary']}", shapes, labels, receipt)
    return section("Time of answers", note, drawn + details("All figures of the plots", table("Figures", heads, rows)))


def mix_of(slot: Mapping[str, Any]) -> str:
    """Which releases answered in a slot, in words."""
    return ", ".join(f"{name or UNNAMED}: {count:,}" for name, count in slot["releases"].items())


def timeline(receipt: Mapping[str, Any]) -> str:
    """A row for each kind of event, with a bar from its begin to its end."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for event in receipt["events"]:
        rows.setdefault(event["name"], []).append(event)
    if not rows:
        return ""
    x = scale(receipt)
    drawn = "".join(
        f'<div class="row">{escape(name)}</div><div class="track">{"".join(bar_of(event, x) for event in events)}</div>'
        for name, events in rows.items()
    )
    facts = [
        [event["name"], event["host"] or NONE, f"{event['at']:.1f} s", duration(event["seconds"])]
        for event in receipt["events"]
    ]
    listed = table("Events", ["", "host", "from", "for"], facts)
    body = f'<div class="axes" aria-hidden="true">{drawn}{axis(receipt)}</div>{details("All events", listed)}'
    return section("Time line", "", body)


def bar_of(event: Mapping[str, Any], x: Callable[[float], float]) -> str:
    """An event on its track, with its length beside it where there is room."""
    left, right = x(event["at"]) / 10, x(event["at"] + event["seconds"]) / 10
    kind = ' class="moving"' if event["name"] in {"switch", "drain", "rollback"} else ""
    place = f"left:{right:g}%" if right <= 75 else f"right:{100 - left:g}%" if left >= 25 else f"left:{left:g}%"
    text = escape(f"{duration(event['seconds'])} {event['host']}".strip())
    return f'<i{kind} style="left:{left:g}%;width:{right - left:g}%"></i><span style="{place}">{text}</span>'


def mix(receipt: Mapping[str, Any]) -> str:
    """Which share of the answers came from which release, over time, as a stacked area."""
    slots, width = receipt["slots"], receipt["slot_seconds"]
    x = scale(receipt)
    names = [release["name"] for release in receipt["releases"]]
    colours = {name: f"r{number % COLOURS}" for number, name in enumerate(filter(None, names))} | {"": "rx"}
    shapes = ""
    for number, name in enumerate(names):
        path = ""
        for slot in slots:
            below, own = (sum(slot["releases"].get(other, 0) for other in some) for some in (names[:number], [name]))
            total = sum(slot["releases"].values())
            if own:
                low, high = (round(100 - 100 * part / total, 2) for part in (below, below + own))
                path += f"M{x(slot['at']):g} {low:g}V{high:g}H{x(slot['at'] + width):g}V{low:g}Z"
        shapes += f'<path class="{colours[name]}" d="{path}"/>'
    legend = "".join(
        f'<li class="{colours[name]}">{named(name)}, {count:,}</li>'
        for name, count in ((release["name"], release["requests"]) for release in receipt["releases"])
    )
    rows = [
        [
            release["name"] or UNNAMED,
            f"{release['requests']:,}",
            f"{release['first']:.1f} s",
            f"{release['last']:.1f} s",
        ]
        for release in receipt["releases"]
    ]
    labels = [(0.0, "100 %"), (50.0, "50 %"), (100.0, "0 %")]
    drawn = plot("low", "Share of the answers by release", shapes, labels, receipt) + f"<ul>{legend}</ul>"
    listed = table("Answers by release", ["", "answers", "first at", "last at"], rows)
    return section("Who answered", "The share of each release.", drawn + details("All releases", listed))


def named(release: str) -> str:
    """A release for the legend."""
    return f"<code>{escape(release)}</code>" if release else UNNAMED


def failures(receipt: Mapping[str, Any]) -> str:
    """Each failure with its time, and how many there were of each kind."""
    if not receipt["failures"]:
        return ""
    shown = receipt["failures"][:MOST_ROWS]
    rows = [
        [
            f"{failure['at']:.2f} s",
            failure["time"][11:-1],
            ", ".join(filter(None, (failure["kind"], KINDS.get(failure["kind"])))),
            milliseconds(failure["ms"]),
            failure["release"] or NONE,
            failure["host"],
        ]
        for failure in shown
    ]
    left = receipt["failed"] - len(shown)
    more = f" The first {len(shown)} are shown; {left:,} came later." if left else ""
    listed = table("Failures", ["at", "UTC", "what", "after", "release", "seen by"], rows, text_columns={2})
    return section("Failures", f"Every request without an answer, or with a status of 500 or above.{more}", listed)


def footer(receipt: Mapping[str, Any]) -> str:
    """How the figures were obtained."""
    probes = "; ".join(
        f"{escape(str(probe['host']))}: {probe['rate']} a second to <code>https://{escape(str(probe['domain']))}"
        f"{escape(str(probe['path']))}</code>{'' if probe['complete'] else ', ended before the deploy did'}"
        for probe in receipt["probes"]
    )
    kinds = ", ".join(f"{escape(kind)}: {count:,}" for kind, count in receipt["kinds"].items())
    again = f" {receipt['again']:,} needed a second connection." if receipt["again"] else ""
    return f"<footer><p>Asked by {probes}.</p><p>Answers: {kinds}.{again}</p></footer>"


# Building blocks


def section(title: str, note: str, body: str) -> str:
    """A card with a heading and a line below it; `body` is HTML."""
    line = f'<p class="soft">{escape(note)}</p>' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>{line}\n{body}\n</section>"


def details(title: str, body: str) -> str:
    """What is only shown when it is opened."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def table(
    name: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    text_columns: frozenset[int] | set[int] = frozenset(),
) -> str:
    """A table that scrolls by itself where it is too wide; the first column names the row."""
    style = dict.fromkeys(text_columns, ' class="text"')
    head = "".join(f'<th scope="col"{style.get(number, "")}>{escape(text)}</th>' for number, text in enumerate(heads))
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td{style.get(number, '')}>{escape(text)}</td>" for number, text in enumerate(rest, 1))
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def plot(height: str, name: str, shapes: str, labels: Iterable[tuple[float, str]], receipt: Mapping[str, Any]) -> str:
    """Shapes in a field of 1000 by 100, with `labels` at heights in percent on the left and seconds below."""
    left = "".join(f'<span style="top:{top:g}%">{escape(text)}</span>' for top, text in labels)
    return (
        f'<div class="axes"><div class="y {height}" aria-hidden="true">{left}</div><div class="{height}">'
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{escape(name)}">{shapes}</svg>'
        f"</div>{axis(receipt)}</div>"
    )


def axis(receipt: Mapping[str, Any]) -> str:
    """The seconds below a plot."""
    end = span(receipt)
    step = next((step for step in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if end / step <= 5), 1800)
    ticks = [number * step for number in range(int(end / step) + 1)]
    kinds = [' class="last"' if tick > 0.95 * end else "" for tick in ticks]
    marks = "".join(
        f'<span{kind} style="left:{100 * tick / end:.4g}%">{tick:g} s</span>'
        for tick, kind in zip(ticks, kinds, strict=True)
    )
    return f'<div class="x" aria-hidden="true">{marks}</div>'


def band(receipt: Mapping[str, Any]) -> str:
    """The time of the switch, shaded."""
    begin, end = window_of(receipt["events"])
    if math.isinf(begin):
        return ""
    x = scale(receipt)
    return f'<path class="band" d="M{x(begin):g} 0H{x(end):g}V100H{x(begin):g}Z"/>'


def span(receipt: Mapping[str, Any]) -> float:
    """Seconds that the plots show."""
    return max([receipt["seconds"], receipt["slot_seconds"], *(slot["at"] for slot in receipt["slots"])]) or 1.0


def scale(receipt: Mapping[str, Any]) -> Callable[[float], float]:
    """From seconds to a place between 0 and 1000."""
    end = span(receipt)
    return lambda seconds: round(1000 * min(1.0, max(0.0, seconds / end)), 2)


def duration(seconds: float) -> str:
    """`0.3 s`, `12 s`, `2 min 05 s`."""
    if seconds >= 60:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def milliseconds_tick(value: float) -> str:
    """`0.1 ms`, `10 ms`, `1 s`."""
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"
