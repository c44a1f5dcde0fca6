"""What a person reads of a task that failed."""

from __future__ import annotations

from ansible_collections.production.fastapi.plugins.filter.failure import failure


def test_the_message_of_the_task() -> None:
    said = failure(
        {"msg": "main:app cannot be imported. ", "failed": True}, "production.fastapi.app : Build the release"
    )
    assert said == "Build the release: main:app cannot be imported."


def test_the_log_follows_unless_the_message_has_it() -> None:
    assert failure({"msg": "It failed.", "log": ["one", "two"]}, "Build") == (
        "Build: It failed. The last lines of its log:\n  one\n  two"
    )
    assert failure({"msg": "It failed.\n  one\n  two", "log": ["one", "two"]}, "Build") == (
        "Build: It failed.\n  one\n  two"
    )
    assert failure({"msg": "It failed.", "log": [str(n) for n in range(40)]}, "Build").count("\n") == 15


def test_the_log_begins_with_a_sentence_and_is_text() -> None:
    assert failure({"msg": "x cannot be read: early EOF", "log": ["aborting.\0  ", "fatal:\tearly end"]}, "Build") == (
        "Build: x cannot be read: early EOF. The last lines of its log:\n  aborting.\n  fatal:\tearly end"
    )


def test_of_a_loop_what_failed_once_each() -> None:
    results = [{"msg": "web1 does not answer.", "failed": True}] * 2 + [{"msg": "All items completed"}]
    assert failure({"msg": "One or more items failed", "results": results}, "Verify") == "Verify: web1 does not answer."


def test_what_has_no_message() -> None:
    assert failure({}, "Build") == "Build: failed without an error message"
