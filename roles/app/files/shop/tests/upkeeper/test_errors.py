"""Problems: each refusal has a type of its own."""

import importlib
import logging
import pkgutil

import upkeeper
from upkeeper.errors import Refusal, _says_something


def test_each_refusal_has_a_type_of_its_own():
    for module in pkgutil.iter_modules(upkeeper.__path__):
        importlib.import_module(f"upkeeper.{module.name}")

    def below(kind):
        return [each for sub in kind.__subclasses__() for each in (sub, *below(sub))]

    refusals = [each for each in below(Refusal) if each.__module__.startswith("upkeeper.")]
    kinds = [each.kind for each in refusals if each.__name__ != "BadAnswer"]  # which no client gets
    assert len(kinds) >= 8
    assert len(set(kinds)) == len(kinds)
    assert Refusal.kind not in kinds


def test_an_answer_that_is_missing_is_logged_where_nothing_was_refused():
    record = logging.makeLogRecord({"msg": "ASGI callable returned without completing response."})
    assert _says_something(record)
