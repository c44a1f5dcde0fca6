"""Problems: each refusal has a type of its own."""

import importlib
import pkgutil

import upkeeper
from upkeeper.errors import Refusal


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
