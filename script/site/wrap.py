"""Wrap the prose of pages where a line has more than 110 characters: wrap.py PAGE…

Code, tables and headings stay as they are, and a literal stays in one line.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

WIDTH = 110
ITEM = re.compile(r" *(?:[-*] |\d+\. )?")
# What begins something else at the beginning of a line.
BEGINS = re.compile(r" *(?:[-*+>|#] ?|\d+\. |<!--|```)")
SPACE = "\x00"


def wrapped(text: str) -> str:
    """The text with no line of prose that is longer than it may be."""
    done: list[str] = []
    code = False
    for part in paragraphs(text):
        code ^= part[0].lstrip().startswith("```")
        done.append("".join(part) if code or not is_prose(part[0]) else filled(part))
    return "".join(done)


def paragraphs(text: str) -> Iterator[list[str]]:
    """Its parts: a paragraph, an item of a list, or one line that is none."""
    found: list[str] = []
    code = False
    for line in text.splitlines(keepends=True):
        fence = line.lstrip().startswith("```")
        if found and (fence or code or not line.strip() or BEGINS.match(line) or not is_prose(found[0])):
            yield found
            found = []
        code ^= fence
        found.append(line)
        if fence or code or not line.strip():
            yield found
            found = []
    if found:
        yield found


def is_prose(line: str) -> bool:
    """Whether a part that begins with this line is sentences."""
    return bool(line.strip()) and (
        not line.startswith(("    ", "#", "|", "```", "<!--")) or bool(re.match(r" +[-*] ", line))
    )


def filled(lines: list[str]) -> str:
    """A paragraph, or an item of a list, wrapped again if a line is too long."""
    text = "".join(lines)
    if max(len(line.rstrip("\n")) for line in lines) <= WIDTH:
        return text
    indent = len(ITEM.match(text)[0])  # type: ignore[index]  # it matches nothing, too
    kept = re.sub(r"`[^`]*`", lambda match: " ".join(match[0].split()).replace(" ", SPACE), text[indent:])
    done = textwrap.wrap(
        " ".join(kept.split()),
        WIDTH,
        initial_indent=text[:indent],
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    wrong = [line for line in done[1:] if BEGINS.match(line)]
    if wrong:
        sys.exit(f"This line would begin something else; write the sentence in another way: {wrong[0]}")
    return "\n".join(done).replace(SPACE, " ") + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(wrapped(page.read_text(encoding="utf-8")), encoding="utf-8")
