"""Run a command, and draw what a person saw of it as an animated SVG: record.py FILE COMMAND…

Of Ansible's own output only what was said with `==>` is kept, and minutes of waiting are cut: a picture is short.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLUMNS = 120
ROWS = 26
LINE = 18  # pixels
LONGEST = 2.0  # seconds of a pause that are shown
HOLD = 8.0  # seconds that the end stays
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
STYLE = (
    "text{font:14px ui-monospace,Menlo,Consolas,monospace;white-space:pre;fill:#d6deeb}"
    ".said{fill:#7fdbca}.typed{fill:#fff}"
)


@dataclass(frozen=True)
class Line:
    """A line of the terminal, and when it came, in seconds of the picture."""

    text: str
    seconds: float


def watched(command: list[str]) -> list[Line]:
    """Run the command and return what it printed that a picture shows; its failure is ours."""
    lines = [Line(f"$ {' '.join(command)}", 0.0)]
    shown = 1.0
    last = time.monotonic()
    end = False
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for raw in process.stdout:
        text = ESCAPE.sub("", raw.rstrip("\n"))
        print(text, flush=True)
        # What comes after the last play is the end of the demo.
        end = (end or text.lstrip().startswith("SERVER")) and not text.startswith("PLAY")
        if not (text.startswith("==>") or end):
            continue
        now = time.monotonic()
        shown += min(now - last, LONGEST)
        last = now
        lines.append(Line(text[:COLUMNS], shown))
    if process.wait():
        sys.exit(f"{' '.join(command)} failed with {process.returncode}.")
    return lines


def drawn(lines: list[Line]) -> str:
    """The picture: each line appears when it came, and the text moves up when the terminal is full."""
    total = lines[-1].seconds + HOLD
    width, height = COLUMNS * 17 // 2 + 32, ROWS * LINE + 32
    rules = [STYLE]
    shown = []
    for number, line in enumerate(lines):
        at = 100 * line.seconds / total
        rules.append(f"@keyframes l{number}{{0%,{at:.2f}%{{opacity:0}}{min(at + 0.01, 100):.2f}%,100%{{opacity:1}}}}")
        kind = "typed" if number == 0 else "said" if line.text.startswith("==>") else ""
        style = f"animation:l{number} {total:.1f}s infinite"
        shown.append(
            f'<text class="{kind}" x="16" y="{(number + 1) * LINE + 10}" style="{style}">{escape(line.text)}</text>'
        )
    moves = [
        f"{100 * line.seconds / total:.2f}%{{transform:translateY({-(number + 1 - ROWS) * LINE}px)}}"
        for number, line in enumerate(lines)
        if number >= ROWS
    ]
    moved = ""
    if moves:
        last = -(len(lines) - ROWS) * LINE
        rules.append(f"@keyframes up{{0%{{transform:none}}{''.join(moves)}100%{{transform:translateY({last}px)}}}}")
        moved = f' style="animation:up {total:.1f}s steps(1,end) infinite"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f"<style>{''.join(rules)}</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#011627"/>\n'
        f'<svg x="0" y="8" width="{width}" height="{height - 16}"><g{moved}>\n'
        + "\n".join(shown)
        + "\n</g></svg>\n</svg>\n"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(drawn(watched(sys.argv[2:])), encoding="utf-8")
