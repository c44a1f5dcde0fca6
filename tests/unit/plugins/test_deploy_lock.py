"""The lock of a deploy: on a folder for a host, with real processes for those that deploy."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import (
    DeployLock,
    Lock,
    LockError,
    deploy_of,
    in_the_way,
)
from ansible_collections.production.fastapi.plugins.plugin_utils.controller import is_gone, process, started

ANNA = {"host": "laptop", "boot": "b1", "namespace": "n1", "pid": "4711", "started": "100"}
BEN = {"host": "desk", "boot": "b2", "namespace": "n1", "pid": "4711", "started": "100"}


@pytest.fixture
def lock(tmp_path: Path) -> DeployLock:
    return DeployLock("shop", tmp_path)


def as_anna(lock: DeployLock, **options: Any) -> Lock:
    return lock.take("anna@laptop", "v2", ANNA, **{"timeout": 900, **options})


def as_ben(lock: DeployLock, **options: Any) -> Lock:
    return lock.take("ben@desk", "v3", BEN, **{"timeout": 900, **options})


def make_old(lock: DeployLock, minutes: float) -> None:
    """As it would be had so many minutes gone by."""
    known = lock.read()
    assert known is not None
    seconds = minutes * 60
    lock._write(Lock(**asdict(known) | {"since": known.since - seconds, "expires": known.expires - seconds}))


def test_the_second_one_is_refused_by_the_name_of_the_first(lock: DeployLock) -> None:
    as_anna(lock)
    make_old(lock, 3)
    with pytest.raises(
        LockError,
        match=r"^anna@laptop deploys shop \(v2\) since \d\d:\d\d UTC \(3 min\); "
        r"its lock ends at \d\d:\d\d UTC unless it gives a sign of life: "
        r"wait, or break the lock with the playbook lock, -e state=broken\.$",
    ) as refused:
        as_ben(lock)
    assert refused.value.lock == lock.read()


def test_whoever_gives_it_back_lets_the_next_one_in(lock: DeployLock) -> None:
    as_anna(lock)
    assert not lock.release(deploy_of(BEN))
    assert lock.release(deploy_of(ANNA))
    assert not lock.release(deploy_of(ANNA))
    assert as_ben(lock).owner == "ben@desk"


def test_the_same_deploy_takes_it_twice_and_it_stays_one(lock: DeployLock) -> None:
    first = as_anna(lock, before="v1")
    again = as_anna(lock, before="v2")
    assert (again.since, again.before, again.deploy) == (first.since, "v1", first.deploy)


def test_a_step_renews_it(lock: DeployLock) -> None:
    first = as_anna(lock, timeout=10)
    kept = lock.keep(deploy_of(ANNA), 900)
    assert (kept.since, kept.expires > first.expires + 800) == (first.since, True)
    assert lock.read() == kept


def test_without_a_sign_of_life_it_is_taken_over_with_what_is_to_come_back(lock: DeployLock) -> None:
    as_anna(lock, before="v1")
    make_old(lock, 16)
    assert as_ben(lock, before="v2").before == "v1", "the killed deploy had made v2 live on this server"
    with pytest.raises(LockError, match=r"lock of this deploy of shop was broken, so it ends here\. ben@desk deploys"):
        lock.keep(deploy_of(ANNA), 900)


def test_what_is_live_for_another_reason_is_what_comes_back(lock: DeployLock) -> None:
    as_anna(lock, before="v1")
    make_old(lock, 16)
    assert as_ben(lock, before="v0").before == "v0"


def test_a_deploy_that_is_known_to_be_dead_gives_way_at_once(lock: DeployLock) -> None:
    assert as_ben(lock, instead_of=as_anna(lock).deploy).owner == "ben@desk"
    with pytest.raises(LockError, match="ben@desk deploys shop"):
        as_anna(lock, instead_of="another")


def test_a_broken_lock_ends_the_deploy_at_its_next_step(lock: DeployLock) -> None:
    assert lock.break_() is None
    held = as_anna(lock)
    assert lock.break_() == held
    with pytest.raises(LockError, match="was broken, so it ends here"):
        lock.keep(deploy_of(ANNA), 900)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": "anna"}', '{"unknown": 1}'])
def test_a_file_that_is_no_lock_locks_nobody_out(lock: DeployLock, text: str) -> None:
    lock.file.parent.mkdir(parents=True)
    lock.file.write_text(text)
    assert lock.read() is None
    assert as_anna(lock).owner == "anna@laptop"


def test_others_are_in_the_way_until_they_give_no_sign_of_life(lock: DeployLock) -> None:
    assert in_the_way("shop", lock.root) == ""
    as_anna(lock)
    assert in_the_way("shop", lock.root).startswith("anna@laptop deploys shop")
    make_old(lock, 16)
    assert in_the_way("shop", lock.root) == ""


def _race(root: Path, number: int, start: Any, results: Any) -> None:
    start.wait()
    try:
        DeployLock("shop", root).take(f"number {number}", "", {"pid": str(number)}, 60)
    except LockError:
        results.put(0)
    else:
        results.put(1)


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, number, start, results)) for number in range(8)]
    for racer in racers:
        racer.start()
    start.set()
    assert sum(results.get(timeout=60) for _ in racers) == 1
    for racer in racers:
        racer.join(60)


def test_a_process_of_this_machine_is_gone_when_it_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        known = process(child.pid)
        assert not is_gone(known)
        assert is_gone(known | {"started": "1"}), "the number has come again"
        assert not is_gone(known | {"host": "elsewhere"})
        assert not is_gone(known | {"boot": "another"})
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert started(child.pid) == "", "what nobody has waited for is gone as well"
    assert is_gone(known)
    assert not is_gone({})
