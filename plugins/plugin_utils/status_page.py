# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of `status` as one page of HTML: the topology as a drawing, what to look at, and the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.page import document
from ansible_collections.production.fastapi.plugins.plugin_utils.status import (
    COLUMNS,
    Report,
    rows_of,
    server_problems,
    verdict,
)

TIERS = {"load_balancers": "Load balancers", "app_servers": "App servers", "redis_servers": "Redis"}

# Of the drawing, in its own units.
WIDTH, HEIGHT, GAP, LANE, TOP = 230, 64, 18, 130, 30

STYLE = """
.box { fill: var(--card); stroke: var(--good); stroke-width: 2; }
.box.bad { stroke: var(--bad); }
.drawing { overflow-x: auto; } .drawing svg { min-width: 34rem; max-width: 100%; height: auto; }
.drawing text { fill: var(--ink); font-size: 15px; } .drawing .more { fill: var(--soft); font-size: 12px; }
.way { stroke: var(--good); stroke-width: 2; fill: none; } .way.bad { stroke: var(--bad); stroke-dasharray: 6 5; }
.sentences { display: block; padding-left: 1.2rem; list-style: disc; } .sentences li::before { content: none; }
td, th { text-align: left !important; font-size: .8rem; padding-left: .4rem !important; }
"""


def page_of(report: Report, at: str) -> str:
    """The page of a report that was made `at` this time; the same for the same report."""
    said = verdict(report)
    parts = [
        f'<header>\n<h1>Servers at <b>{escape(at)}</b></h1>\n<p class="verdict {"good" if report["ok"] else "bad"}">'
        f"{escape(said)}</p>\n</header>",
        f'<section>\n<h2>Topology</h2>\n<div class="drawing">{drawing(report)}</div>\n</section>',
        *(
            f"<section>\n<h2>{title}</h2>\n{sentences(report[key])}\n</section>"
            for title, key in (("Problems", "problems"), ("Notes", "notes"))
            if report[key]
        ),
        f'<section>\n<h2>Servers</h2>\n<div class="scroll">{table(report)}</div>\n</section>',
    ]
    return document(said, "\n".join(parts), STYLE)


def sentences(texts: Iterable[str]) -> str:
    """Sentences as a list."""
    return '<ul class="sentences">' + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def table(report: Report) -> str:
    """What the terminal gets."""
    head = "".join(f'<th scope="col">{escape(column.capitalize())}</th>' for column in COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n"
        for server in report["servers"]
        for row in rows_of(server)
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"


def drawing(report: Report) -> str:
    """Each group as a column, and a line from each load balancer to each server of apps that it asks."""
    columns = {
        tier: [server for server in report["servers"] if tier in server["groups"]]
        for tier in TIERS
        if any(tier in server["groups"] for server in report["servers"])
    }
    if not columns:
        return "<p>There are no servers.</p>"
    width = len(columns) * WIDTH + (len(columns) - 1) * LANE + 4
    height = TOP + max(map(len, columns.values())) * (HEIGHT + GAP)
    places = {
        (tier, server["name"]): (2 + column * (WIDTH + LANE), TOP + row * (HEIGHT + GAP))
        for column, (tier, servers) in enumerate(columns.items())
        for row, server in enumerate(servers)
    }
    titles = "".join(
        f'<text class="more" x="{2 + column * (WIDTH + LANE)}" y="16">{TIERS[tier]}</text>'
        for column, tier in enumerate(columns)
    )
    boxes = "".join(
        box(server, *places[tier, server["name"]], tier) for tier, servers in columns.items() for server in servers
    )
    ways = "".join(
        way(places["load_balancers", one["balancer"]], places["app_servers", one["member"]], good=one["good"])
        for one in report["ways"]
    )
    label = f"Topology: {escape(verdict(report))}"
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{titles}{ways}{boxes}</svg>'


def box(server: Mapping[str, Any], x: int, y: int, tier: str) -> str:
    """A server in one of its groups."""
    wrong = list(server_problems(server))
    said = "; ".join(wrong) or "no problem"
    return (
        f'<g><title>{escape(said)}</title><rect class="box{" bad" if wrong else ""}" x="{x}" y="{y}" width="{WIDTH}" '
        f'height="{HEIGHT}" rx="10"/><text x="{x + 12}" y="{y + 26}">{escape(server["name"][:26])}</text>'
        f'<text class="more" x="{x + 12}" y="{y + 47}">{escape(detail(server, tier)[:36])}</text></g>'
    )


def detail(server: Mapping[str, Any], tier: str) -> str:
    """What a box says of a server."""
    if server.get("error"):
        return "cannot be asked"
    state = server["state"]
    if tier == "app_servers":
        return ", ".join(f"{app} {found['release'][:8] or 'no release'}" for app, found in state["apps"].items())
    if tier == "load_balancers":
        return ", ".join(state["sites"]) or "no site"
    return f"Redis {state['services']['redis-server']}"


def way(start: tuple[int, int], end: tuple[int, int], *, good: bool) -> str:
    """A line from one box to another."""
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0], end[1] + HEIGHT // 2
    middle = (x1 + x2) // 2
    return f'<path class="way{"" if good else " bad"}" d="M {x1} {y1} C {middle} {y1}, {middle} {y2}, {x2} {y2}"/>'
