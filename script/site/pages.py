"""Collect the pages of the site: pages.py FOLDER

Those of docs/ and the README files that they lead to are copied, with their links turned to where each page now is. The
reference is written from what the roles and playbooks declare. A link to nowhere ends it with 1.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from reference import reference_pages

ROOT = Path(__file__).parents[2]
ROLES = ("app", "gunicorn", "keepalived", "nginx", "redis")
REPOSITORY = "https://github.com/production-fastapi/production.fastapi"
# Pages outside of docs/, and where they are in the site.
OTHERS = {
    **{f"roles/{role}/README.md": f"roles/{role}.md" for role in ROLES},
    "roles/app/files/shop/README.md": "patterns/shop.md",
    "roles/app/files/shop/upkeeper/README.md": "patterns/upkeeper.md",
    "inventories/README.md": "inventories.md",
    "examples/README.md": "examples.md",
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
# What the reference is written from; a link to it leads to the reference.
DECLARED = {
    **{f"roles/{role}/meta/argument_specs.yml": f"reference/variables-{role}.md" for role in ROLES},
    "playbooks": "reference/playbooks.md",
}
LINK = re.compile(r"(?<!!)\[([^\]\n]*(?:\n[^\]\n]*)?)\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|^(?: {4}[^\n]*\n)+|`[^`\n]+`", re.MULTILINE | re.DOTALL)
NAVIGATION = (
    ("Tutorials", "tutorials"),
    ("How-to guides", "how-to"),
    ("Reference", "reference"),
    ("Explanation", "explanation"),
    ("Architecture", "architecture"),
    ("Roles", "roles"),
)


def main() -> int:
    """Write all pages into the folder of the command line."""
    target = Path(sys.argv[1])
    places = {path.relative_to(ROOT).as_posix(): place_in_docs(path) for path in sorted((ROOT / "docs").rglob("*.md"))}
    places |= OTHERS
    problems: list[str] = []
    texts = {place: turned(source, places | DECLARED, problems) for source, place in places.items()} | reference_pages(
        ROOT
    )
    texts["index.md"] += "".join(navigation(texts))
    for place, text in texts.items():
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "pictures", target / "pictures")
    (target / "llms.txt").write_text(overview(texts), encoding="utf-8")
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


def place_in_docs(path: Path) -> str:
    """Where a page of docs/ is in the site."""
    return path.relative_to(ROOT / "docs").as_posix()


def turned(source: str, places: dict[str, str], problems: list[str]) -> str:
    """The text of a page with its links turned to the site, or to the repository where the site has no such page."""
    text = (ROOT / source).read_text(encoding="utf-8")
    place = places[source]

    def turn(match: re.Match[str]) -> str:
        words, link = match.groups()
        if "://" in link or link.startswith(("#", "mailto:")):
            return match[0]
        path, _hash, anchor = link.partition("#")
        named = os.path.normpath(Path(source).parent / path)
        if named in places:
            link = os.path.relpath(places[named], Path(place).parent) + (f"#{anchor}" if anchor else "")
        elif (ROOT / named).exists():
            link = f"{REPOSITORY}/{'tree' if (ROOT / named).is_dir() else 'blob'}/main/{named}"
        else:
            problems.append(f"{source} links to {link}, and there is no {named}.")
        return f"[{words}]({link})"

    # Code is not prose: what looks like a link there is none.
    parts: list[str] = []
    end = 0
    for code in CODE.finditer(text):
        parts += [LINK.sub(turn, text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(turn, text[end:])])


def navigation(texts: dict[str, str]) -> Iterator[str]:
    """The tables of contents, by which Sphinx knows the order of the pages; they show in the side bar."""
    # In the order in which the first page names them; what it does not name comes after that, by name.
    named = [link for _words, link in LINK.findall(texts["index.md"])]
    pages = sorted(texts, key=lambda place: (named.index(place) if place in named else len(named), place))
    listed = {"index.md"}
    for caption, folder in NAVIGATION:
        chapter = [place for place in pages if place.startswith((f"{folder}/", f"{folder}.")) and place not in listed]
        listed |= set(chapter)
        yield contents(caption, chapter)
    yield contents("More", [place for place in pages if place not in listed])


def contents(caption: str, pages: list[str]) -> str:
    """A hidden table of contents."""
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"


def overview(texts: dict[str, str]) -> str:
    """The file llms.txt: what the project is, and a line for each page with the address of its text."""
    lines = [
        "# production.fastapi",
        "",
        "> Run FastAPI on your own Debian servers, from one inventory and one command.",
        "",
        "## Pages",
        "",
    ]
    for place, text in sorted(texts.items()):
        title, _newline, rest = text.lstrip().partition("\n")
        # The first sentence of the first paragraph that is prose.
        paragraph = next((part for part in rest.split("\n\n") if re.match(r"\w|\*\*", part.lstrip("\n"))), "")
        first = re.split(r"(?<=[.:])\s", LINK.sub(r"\1", " ".join(paragraph.split())), maxsplit=1)[0]
        lines.append(f"- [{title.lstrip('# ').replace('`', '')}]({place}): {first}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
