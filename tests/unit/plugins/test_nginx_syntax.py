"""The syntax of Nginx's files is read as Nginx reads it."""

from __future__ import annotations

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._nginx.syntax import (
    Directive,
    NginxSyntaxError,
    parse,
)


def words(directives: tuple[Directive, ...]) -> list[list[str]]:
    return [[each.name, *each.arguments] for each in directives]


def test_directives_have_their_arguments_and_their_line() -> None:
    text = "user www-data; # a {comment};\nhttp {\n  map $a $b {\n    default 1;\n  }\n}\n"
    user, http = parse(text)
    assert words((user, http)) == [["user", "www-data"], ["http"]]
    assert http.block is not None
    assert (http.line, http.block[0].line, words(http.block)) == (2, 3, [["map", "$a", "$b"]])
    assert text[http.start : http.end] == text[text.index("http") : -1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a \'x;y {\' "z\\";";', ["a", "x;y {", 'z\\";']),
        ("a b#c ${d}e it's;", ["a", "b#c", "${d}e", "it's"]),
        ("a \\;b;", ["a", "\\;b"]),
        ("a x}y;", ["a", "x}y"]),
    ],
)
def test_quotes_comments_and_variables_are_what_nginx_takes_for_them(text: str, expected: list[str]) -> None:
    assert words(parse(text)) == [expected]


def test_a_block_of_another_language_is_no_configuration() -> None:
    directives = parse("content_by_lua_block {\n  local t = { a = 'x;' } -- it's\n}\nroot /;\n")
    assert words(directives) == [["content_by_lua_block"], ["root", "/"]]


@pytest.mark.parametrize(
    ("text", "line"), [("a;\nb", 2), ("a {\n b;\n", 3), ("a;\n}", 2), ("\n;", 2), ("a {\n b }\n", 2), ("\na '", 2)]
)
def test_what_is_no_configuration_is_refused_by_line(text: str, line: int) -> None:
    with pytest.raises(NginxSyntaxError) as caught:
        parse(text)
    assert caught.value.line == line
