# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What our pages of HTML have in common: one file each, no script, nothing from elsewhere, light and dark."""

from __future__ import annotations

from html import escape

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #16202c; --soft: #5a6676; --line: #dfe4ea;
  --band: #e8eefb; --good: #0b7a4b; --bad: #c4281c; --time: #3563c9; --reach: #a9bff0;
  --c0: #8c9bb0; --c1: #2a9d8f; --c2: #e0a030; --c3: #a864b8; --c4: #4a93d9; --c5: #b5653a; --none: #d8b4b0; }
@media (prefers-color-scheme: dark) { :root { --page: #11161d; --card: #19212b; --ink: #e8edf3; --soft: #9aa7b6;
  --line: #2c3744; --band: #22304a; --good: #4cc38a; --bad: #ff8577; --time: #8fb0ff; --reach: #3d5590;
  --c0: #6d7b8f; --c1: #35b3a4; --c2: #d39a34; --c3: #b77cc6; --c4: #5b9fe0; --c5: #c07a52; --none: #7a4a46; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: clamp(1rem, 4vw, 2.5rem); }
h1 { font-size: 1rem; font-weight: 500; color: var(--soft); margin: 0; overflow-wrap: anywhere; }
h1 b { color: var(--ink); }
.verdict { font-size: clamp(1.6rem, 6vw, 2.6rem); font-weight: 700; line-height: 1.15; margin: .3rem 0 .5rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.soft, footer { color: var(--soft); font-size: .875rem; }
p { margin: .25rem 0; } code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; margin-top: 1rem;
  padding: 1rem clamp(.75rem, 3vw, 1.5rem) 1.25rem; }
h2 { font-size: 1.05rem; margin: 0 0 .1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: .5rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .25rem .35rem .75rem; border-top: 1px solid var(--line); font-weight: 400; }
thead th { border: 0; color: var(--soft); font-size: .8rem; vertical-align: bottom; }
th:first-child, td:first-child, .text { text-align: left; }
th:first-child, td:first-child { padding-left: .25rem; }
tbody th { font-weight: 600; }
td, tbody th { white-space: nowrap; }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A page: `title` is text, `body` and `style` (what this page has besides the common style) are HTML and CSS."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )
