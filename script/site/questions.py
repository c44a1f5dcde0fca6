"""Show at which place the site's search has the page that answers each question: questions.py HTML-FOLDER

It reads the index that Sphinx has written and ranks pages as Sphinx's searchtools.js does. Every word must be found,
but for numbers and those that are too common. A word of a page's title counts 15, of its text 5, a part of a word 7 and
2. A heading that is like the whole query counts 15, less the more it says beside it. Ends with 1 when a page is not
among the first three.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import snowballstemmer
import yaml
from sphinx.search.en import SearchEnglish

FIRST = 3


def main() -> int:
    """Print a line for each question."""
    index = read_index(Path(sys.argv[1]) / "searchindex.js")
    questions = yaml.safe_load((Path(__file__).parents[2] / "docs" / "questions.yml").read_text(encoding="utf-8"))
    missed = 0
    for question in questions:
        ranked = search(index, question["search"])
        place = ranked.index(question["page"]) + 1 if question["page"] in ranked else 0
        missed += not 0 < place <= FIRST
        print(f"{place or '-':>2}  {question['search']:<32} {question['page']:<28} {question['ask']}")
        if not 0 < place <= FIRST:
            print(f"    first are: {', '.join(ranked[:FIRST]) or 'none'}")
    print(f"{len(questions) - missed} of {len(questions)} among the first {FIRST}")
    return bool(missed)


def read_index(path: Path) -> dict[str, Any]:
    """The index, which is JSON in a call of JavaScript."""
    text = path.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    return found


def search(index: dict[str, Any], words: str) -> list[str]:
    """Names of the pages that the site's search finds, best first."""
    stem = snowballstemmer.stemmer("english").stemWord
    asked = words.lower().replace("-", " ").split()
    found: dict[int, float] | None = None
    for word in asked:
        if word.isdigit() or word in SearchEnglish.stopwords:
            continue
        scores = of_word(index, stem(word))
        found = scores if found is None else {page: found[page] + scores[page] for page in found.keys() & scores}
    totals = Counter(found or {})
    totals.update(of_headings(index, " ".join(asked)))
    names = index["docnames"]
    return [names[page] for page in sorted(totals, key=lambda page: (-totals[page], names[page]))]


def of_headings(index: dict[str, Any], query: str) -> dict[int, float]:
    """The score of each page with a heading of which the query is at least half."""
    scores: dict[int, float] = {}
    for heading, places in index["alltitles"].items():
        if query in heading.lower() and len(query) >= len(heading) / 2:
            for page, _anchor in places:
                scores[page] = max(scores.get(page, 0), 15 * len(query) / len(heading))
    return scores


def of_word(index: dict[str, Any], word: str) -> dict[int, float]:
    """The score of one word on each page that has it."""
    scores: dict[int, float] = {}
    for kind, whole, part in (("titleterms", 15, 7), ("terms", 5, 2)):
        for term, pages in index[kind].items():
            if term != word and not (len(word) > 2 and word in term):
                continue
            for page in [pages] if isinstance(pages, int) else pages:
                scores[page] = max(scores.get(page, 0), whole if term == word else part)
    return scores


if __name__ == "__main__":
    sys.exit(main())
