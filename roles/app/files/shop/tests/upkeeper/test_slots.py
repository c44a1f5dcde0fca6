"""Slots: a process keeps its number, and its lock belongs to its user alone."""

import os
import stat

from upkeeper.slots import Slots


def test_a_process_has_one_number_and_is_told_of_it_once(tmp_path):
    told = []
    slots = Slots(tmp_path, told.append)
    assert slots.taken() == set()
    assert [slots.mine(), slots.mine()] == [0, 0]
    assert told == [0]
    assert slots.taken() == {0}


def test_a_number_that_a_living_process_has_is_passed_over(tmp_path):
    first, second = Slots(tmp_path, lambda _: None), Slots(tmp_path, lambda _: None)
    assert (first.mine(), second.mine()) == (0, 1)
    first._leave_to_parent()
    assert second.taken() == {1}
    assert Slots(tmp_path, lambda _: None).mine() == 0


def test_only_its_user_may_open_a_lock(tmp_path):
    mask = os.umask(0)
    try:
        Slots(tmp_path, lambda _: None).mine()
    finally:
        os.umask(mask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
