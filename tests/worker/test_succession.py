"""A worker goes when another one has come: an app that takes a second to import keeps nobody waiting for it."""

from __future__ import annotations

import signal
import time

import pytest
from conftest import Gunicorn, Start, wait_for
from test_drain import end, reload, under_load

IMPORT = 6.0  # seconds, of which half is longer than any answer takes on a busy machine


def slow_to_import(start: Start, **variables: object) -> Gunicorn:
    """Two workers that are ready, both of them: one that is told to go while it imports does so at once."""
    gunicorn = start(environment={"SLOW_IMPORT": str(IMPORT)}, gunicorn_workers=2, **variables)
    assert gunicorn.ready(within=60), gunicorn.log()  # `start` has waited for the first
    return gunicorn


def longest_wait(gunicorn: Gunicorn, seconds: float) -> float:
    """Ask over a new connection each time, and return what the slowest answer took."""
    longest = 0.0
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        began = time.monotonic()
        assert gunicorn.connection(timeout=30).ask("/pid", Connection="close").status == 200
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.01)
    return longest


def test_a_reload_waits_for_the_new_workers_before_the_old_ones_go(start: Start) -> None:
    gunicorn = slow_to_import(start)
    old = gunicorn.workers()
    gunicorn.signal(signal.SIGHUP)
    assert longest_wait(gunicorn, IMPORT + 1) < IMPORT / 2
    wait_for(lambda: len(gunicorn.workers()) == 2 and not gunicorn.workers() & old)


def test_workers_that_reach_max_requests_are_replaced_one_at_a_time_by_one_that_accepts(start: Start) -> None:
    gunicorn = slow_to_import(start, gunicorn_max_requests=100, gunicorn_max_requests_jitter=0)
    old = gunicorn.workers()
    loads = under_load(gunicorn)
    assert longest_wait(gunicorn, IMPORT + 1) < IMPORT / 2
    most = 0
    deadline = time.monotonic() + 120
    while gunicorn.workers() & old and time.monotonic() < deadline:
        most = max(most, len(gunicorn.workers()))
        time.sleep(0.05)
    _sent, lost = end(loads)
    assert lost == []
    assert not gunicorn.workers() & old
    assert most == 3
    wait_for(lambda: len(gunicorn.workers()) == 2, within=60)  # the new ones had their share of requests too


@pytest.mark.every_version
def test_a_worker_that_is_forked_while_the_master_stops_hears_of_it(start: Start) -> None:
    """The hook runs in the worker before it has handlers of its own; the worker ends in it when it is told to go."""
    hook = """
def post_fork(arbiter, worker):
    import signal, time
    if Path(os.environ["APP_TEST_FOLDER"], "stop").exists():
        os.kill(arbiter.pid, signal.SIGTERM)
        time.sleep(600)
"""
    gunicorn = start(gunicorn_extra_config=hook, gunicorn_graceful_timeout=600)
    (gunicorn.folder / "stop").touch()
    gunicorn.kill(*gunicorn.workers())
    assert gunicorn.process.wait(timeout=60) == 0


@pytest.mark.every_version
def test_what_a_worker_starts_has_the_signals_as_the_app_left_them(start: Start) -> None:
    """A program begins with none held back, and a fork of the worker changes neither what it holds nor how it hears."""
    hook = """
def post_fork(arbiter, worker):
    import signal, subprocess
    def held():
        return sorted(number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    program = subprocess.check_output(["grep", "SigBlk", "/proc/self/status"], text=True).split()[1]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if child := os.fork():
        os.waitpid(child, 0)
        path = Path(os.environ["APP_TEST_FOLDER"], "signals")
        path.write_text(path.with_name("of-child").read_text() + f" {program} {held()}")
    else:
        Path(os.environ["APP_TEST_FOLDER"], "of-child").write_text(f"{held()} {signal.getsignal(signal.SIGINT).name}")
        os._exit(0)
"""
    gunicorn = start(gunicorn_extra_config=hook, gunicorn_workers=1)
    assert (gunicorn.folder / "signals").read_text() == "['SIGTERM'] SIG_IGN 0000000000000000 ['SIGTERM']"


def test_a_worker_that_dies_while_it_starts_holds_nobody_up(start: Start) -> None:
    gunicorn = slow_to_import(start)
    old = gunicorn.workers()
    gunicorn.signal(signal.SIGHUP)
    wait_for(lambda: len(gunicorn.workers()) == 4)
    for pid in gunicorn.workers() - old:
        gunicorn.kill(pid)
    wait_for(lambda: not gunicorn.workers() & old)
    wait_for(lambda: len(gunicorn.workers()) == 2)


@pytest.mark.every_version
def test_there_are_never_fewer_workers_than_configured(start: Start) -> None:
    gunicorn = start(gunicorn_workers=2)
    for number in (signal.SIGTTOU, signal.SIGTTIN, signal.SIGTTIN, signal.SIGTTIN):
        gunicorn.signal(number)
        time.sleep(0.2)
    wait_for(lambda: len(gunicorn.workers()) == 2)  # one more came, and the oldest went
    assert reload(gunicorn)
    wait_for(lambda: len(gunicorn.workers()) == 2)


def test_what_the_app_made_while_it_started_is_not_collected_again_and_again(start: Start) -> None:
    assert int(start().ask("/frozen").text) > 10_000
