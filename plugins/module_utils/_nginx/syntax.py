# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the syntax of Nginx's configuration files: directives, blocks, and where each of them stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# As Nginx reads them: quotes and comments begin only where a word could, and `${name}` is part of a word.
TOKEN = re.compile(
    r"""(?P<nothing>\s+|\#[^\n]*)|(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<mark>[{};])"""
    r"""|(?P<word>(?:\\.|\$\{|[^\s;{\\])+)""",
    re.DOTALL,
)
RAW_BLOCK = "_by_lua_block"


class NginxSyntaxError(Exception):
    """A file that is not a configuration of Nginx; `line` says where."""

    def __init__(self, line: int) -> None:
        """`line` counts from 1."""
        super().__init__(f"line {line}")
        self.line = line


@dataclass(frozen=True)
class Directive:
    """A directive; `start` and `end` are its place in the text, `block` is what its braces hold, None without any."""

    name: str
    arguments: tuple[str, ...]
    line: int
    start: int
    end: int
    block: tuple[Directive, ...] | None = None


@dataclass(frozen=True)
class Token:
    """A word, or one of the marks `{`, `}` and `;`."""

    text: str
    mark: bool
    start: int
    end: int


def parse(text: str) -> tuple[Directive, ...]:
    """The directives of a file. Raises NginxSyntaxError."""
    tokens = _tokens(text)
    return tuple(_directives(text, tokens, nested=False))


def _tokens(text: str) -> Iterator[Token]:
    place, words = 0, 0
    first = ""
    while place < len(text):
        match = TOKEN.match(text, place)
        if not match:
            raise NginxSyntaxError(line_of(text, place))
        place = match.end()
        if match.lastgroup == "nothing":
            continue
        mark = match.lastgroup == "mark"
        word = match[0][1:-1] if match.lastgroup == "quoted" else match[0]
        yield Token(word, mark, match.start(), match.end())
        if mark:
            if match[0] == "{" and first.endswith(RAW_BLOCK):
                place = _end_of_raw_block(text, place)
            words = 0
        else:
            first = word if words == 0 else first
            words += 1


def _end_of_raw_block(text: str, place: int) -> int:
    """The place of the brace that closes a block of another language."""
    depth = 1
    for match in re.compile(r"[{}]").finditer(text, place):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    raise NginxSyntaxError(line_of(text, place))


def _directives(text: str, tokens: Iterator[Token], *, nested: bool) -> Iterator[Directive]:
    words: list[Token] = []
    for token in tokens:
        if not token.mark:
            words.append(token)
            continue
        if token.text == "}":
            if words or not nested:
                raise NginxSyntaxError(line_of(text, token.start))
            yield Directive("}", (), line_of(text, token.start), token.start, token.end)
            return
        if not words:
            raise NginxSyntaxError(line_of(text, token.start))
        block, end = None, token.end
        if token.text == "{":
            *inside, closing = _directives(text, tokens, nested=True)
            block, end = tuple(inside), closing.end
        name, *arguments = (word.text for word in words)
        start = words[0].start
        yield Directive(name, tuple(arguments), line_of(text, start), start, end, block)
        words = []
    if words or nested:
        raise NginxSyntaxError(line_of(text, len(text)))


def line_of(text: str, place: int) -> int:
    """The line of a place in a text, from 1."""
    return text.count("\n", 0, place) + 1
