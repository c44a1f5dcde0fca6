"""Write what people read, without its code, where a prose linter looks: prose.py FOLDER

Lines stay where they are. The descriptions of the specs are pages, too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGES = (
    "*.md",
    "docs/**/*.md",
    "roles/**/*.md",
    "inventories/*.md",
    "examples/*.md",
    "benchmarks/**/*.md",
    "tests/**/*.md",
)
# What is not a sentence, and what is one word of a sentence.
BLOCK = re.compile(r"^```.*?^```$|^<!--.*?-->$|^(?: {4}[^\n]*\n)+|^#[^\n]*$|^\|[ -|]*$", re.MULTILINE | re.DOTALL)
LITERAL = re.compile(r"`[^`]*`|\]\([^)]*\)|\b[CVOIBPEM]\((?:[^()\\]|\\.)*\)|https?://\S+|\b\w+[_=/.]\w\S*")


def main() -> None:
    """Write a file for each page and each spec."""
    target = Path(sys.argv[1])
    texts = {path: path.read_text(encoding="utf-8") for pattern in PAGES for path in sorted(ROOT.glob(pattern))}
    texts |= {
        path: "\n\n".join(descriptions(yaml.safe_load(path.read_text(encoding="utf-8"))))
        for path in ROOT.glob("roles/*/meta/argument_specs.yml")
    }
    for path, text in texts.items():
        place = target / path.relative_to(ROOT).with_suffix(".md")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(LITERAL.sub(word, BLOCK.sub(blank, text)), encoding="utf-8")


def blank(match: re.Match[str]) -> str:
    """As many lines with nothing on them."""
    return "\n" * match[0].count("\n")


def word(match: re.Match[str]) -> str:
    """A word for a literal, which no other literal of the page has."""
    return f"literal{match.start()}x" + "\n" * match[0].count("\n")


def descriptions(spec: Any) -> Iterator[str]:
    """All sentences of a spec."""
    for key, value in spec.items():
        if key in {"description", "short_description"}:
            yield "\n\n".join([value] if isinstance(value, str) else value)
        elif isinstance(value, dict):
            yield from descriptions(value)


if __name__ == "__main__":
    main()
