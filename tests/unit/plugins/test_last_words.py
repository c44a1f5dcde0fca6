"""Which lines are shown of a command that has failed."""

from __future__ import annotations

from ansible_collections.production.fastapi.plugins.module_utils._deploy.last_words import last_words
from ansible_collections.production.fastapi.plugins.plugin_utils.printed import last_lines

TRACEBACK = ["Traceback (most recent call last):", '  File "env.py", line 1, in <module>', "    run()"]
AFTER = [f"[SQL: line {number}]" for number in range(40)]


def test_the_last_lines_are_shown() -> None:
    assert last_words(AFTER, 15) == AFTER[-15:]
    assert last_words([], 15) == []
    assert last_words(["one"], 15) == ["one"]


def test_the_exception_is_shown_however_much_follows() -> None:
    shown = last_words([*TRACEBACK, "KeyError: first", "", *TRACEBACK, "ValueError: planted", *AFTER], 15)
    assert shown == ["ValueError: planted", "…", *AFTER[-13:]]


def test_an_exception_among_the_last_lines_is_not_repeated() -> None:
    shown = last_words([*AFTER, *TRACEBACK, "ValueError: planted", *AFTER[:14]], 15)
    assert shown == ["ValueError: planted", *AFTER[:14]]


def test_a_traceback_that_is_cut_off_has_no_exception() -> None:
    assert last_words([*TRACEBACK, *[f"  {line}" for line in AFTER]], 15)[-1] == f"  {AFTER[-1]}"


def test_what_is_shown_of_a_command_is_masked() -> None:
    ran = {"stdout": "\n".join([*TRACEBACK, "ValueError: no hunter2-and-more", *AFTER]), "stderr": "pl4nted-line"}
    told = last_lines(ran, {"TOKEN": "hunter2-and-more"}, {"key.pem": "one\npl4nted-line\n"})
    said, *shown = told.split("\n  ")
    assert said == " The last lines of what it printed:"
    assert (shown[0], len(shown), shown[-1]) == ("ValueError: no ********", 15, "********")


def test_nothing_is_said_of_a_command_that_printed_nothing() -> None:
    assert last_lines({"stdout": "\n", "stderr": ""}, {}, {}) == ""
