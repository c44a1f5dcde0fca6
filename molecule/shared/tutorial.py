"""What a tutorial has its reader do: the fenced blocks of the page, each with the comment above it.

A block of `sh` is run, in the reader's shell, or where the comment says:

    <!-- on the server -->     as root on the server
    <!-- says: TEXT -->        its output has this text
    <!-- fails: TEXT -->       it fails, and its output has this text
    <!-- not run: WHY -->      it is not run

A block of `yaml` or `python` is a file: `<!-- file: PATH -->` is all of it, `<!-- end of: PATH -->` goes to its end.
A block of `text` is what the block before it has printed, but for names of releases and numbers from 10 on.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:\A|\n)\n {4}\S")
COMMENTS = {
    "sh": r"|on the server|(says|fails|not run): .+",
    "yaml": r"(file|end of): \S+",
    "python": r"(file|end of): \S+",
    "text": "",
}
# In what a page shows: the beginning of a release's name, and a number that no reader will see again.
DIFFERS = re.compile(r"\b[0-9a-f]{8}\b|\b[0-9,]{2,}\b")


@dataclass(frozen=True)
class Block:
    """A block of a page: where it is, its language, its text, and what the comment above it says."""

    page: str
    line: int
    language: str
    text: str
    comment: str

    def __str__(self) -> str:
        """Its place, as an editor takes it."""
        return f"{self.page}:{self.line}"

    def says(self, word: str) -> str:
        """What the comment has after this word and a colon."""
        before, colon, rest = self.comment.partition(": ")
        return rest if colon and before == word else ""


def blocks(path: Path) -> list[Block]:
    """Return the blocks of a page; one that nothing can be done with is a ValueError."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        comment, language, body = match[1] or "", match[2], match[3]
        line = text.count("\n", 0, match.start(2)) + 1
        block = Block(path.name, line, language, body, comment)
        if language not in COMMENTS or not re.fullmatch(COMMENTS[language], comment):
            raise ValueError(
                f"{block}: '{comment}' is not a comment of a block of '{language}'; see {Path(__file__).name}."
            )
        found.append(block)
    if INDENTED.search(FENCE.sub("", text)):
        raise ValueError(f"{path.name}: an indented block says no language; write it between fences.")
    return found


def plain(text: str) -> str:
    """Return output so that it can be compared: in one line, and without what differs each time."""
    return DIFFERS.sub("@", " ".join(text.split()))
