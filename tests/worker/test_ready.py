"""The worker is ready before it accepts, and only then does systemd hear so."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from conftest import Connection, Gunicorn, Start, wait_for


def accepts(folder: Path) -> bool:
    connection = Connection(folder / "http.sock", timeout=0.5)
    try:
        return connection.ask("/pid").status == 200
    except OSError:
        return False
    finally:
        connection.close()


# Every time-out that a stop could wait for.
SLOW_TO_STOP = dict.fromkeys(("gunicorn_graceful_timeout", "gunicorn_drain_timeout", "gunicorn_websocket_grace"), 100)


def stops_at_once(gunicorn: Gunicorn) -> bool:
    """Whether it stops without waiting for one of those time-outs."""
    gunicorn.signal(signal.SIGTERM)
    return gunicorn.process.wait(timeout=min(SLOW_TO_STOP.values()) / 2) == 0


def test_ready_is_said_after_the_import(start: Start) -> None:
    began = time.monotonic()
    start(environment={"SLOW_IMPORT": "1"})
    assert time.monotonic() - began > 1


def test_gunicorn_itself_says_ready_too_early(start: Start) -> None:
    """Why the configuration hides NOTIFY_SOCKET: this is what the plain recipe does."""
    gunicorn = start(
        environment={"BREAK_IMPORT": "1"},
        gunicorn_extra_config='os.environ["NOTIFY_SOCKET"] = os.environ["WORKER_NOTIFY_SOCKET"]',
        wait=False,
    )
    assert gunicorn.ready(within=30)
    assert gunicorn.process.wait(timeout=60) != 0


@pytest.mark.parametrize("fault", ["import", "start-up"])
def test_an_app_that_cannot_start_is_never_ready(start: Start, tmp_path: Path, fault: str) -> None:
    if fault == "start-up":
        (tmp_path / "break-start").touch()
    gunicorn = start(environment={"BREAK_IMPORT": "1"} if fault == "import" else {}, wait=False)
    assert gunicorn.process.wait(timeout=60) != 0
    assert not gunicorn.ready(within=0.1)
    assert "planted" in gunicorn.log()


@pytest.mark.every_version
def test_nothing_is_accepted_until_the_readiness_path_answers(start: Start, tmp_path: Path) -> None:
    (tmp_path / "not-ready").touch()
    gunicorn = start(gunicorn_readiness_path="/ready", gunicorn_timeout=5, wait=False)
    wait_for(lambda: "Not ready: /ready answers 503" in gunicorn.log())
    assert not gunicorn.ready(within=6)  # longer than gunicorn_timeout: waiting is not hanging
    assert not accepts(tmp_path)
    assert "WORKER TIMEOUT" not in gunicorn.log()
    (tmp_path / "not-ready").unlink()
    assert gunicorn.ready(within=60)
    wait_for(lambda: accepts(tmp_path))


@pytest.mark.every_version
@pytest.mark.parametrize("path", ["/nested/ready", "/ready-in-parts"])
def test_an_app_that_listens_for_the_end_of_the_request_gets_ready(start: Start, tmp_path: Path, path: str) -> None:
    gunicorn = start(gunicorn_readiness_path=path, wait=False)
    assert gunicorn.ready(within=60)
    wait_for(lambda: accepts(tmp_path))
    assert "raised" not in gunicorn.log()


def test_a_worker_that_waits_in_vain_stops_at_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "not-ready").touch()
    gunicorn = start(gunicorn_readiness_path="/ready", wait=False, **SLOW_TO_STOP)
    wait_for(lambda: "Not ready" in gunicorn.log())
    assert stops_at_once(gunicorn)


def test_a_start_up_that_hangs_is_stopped_at_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hang-start").touch()
    gunicorn = start(wait=False, **SLOW_TO_STOP)
    wait_for((tmp_path / "hanging").exists)
    assert stops_at_once(gunicorn)


def test_a_replaced_worker_does_not_wait_for_ever(start: Start, tmp_path: Path) -> None:
    gunicorn = start(gunicorn_readiness_path="/ready", gunicorn_extra_config="Worker.readiness_patience = 1")
    (tmp_path / "not-ready").touch()
    (first,) = gunicorn.workers()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: "Not ready after 1 s; accepting" in gunicorn.log())
    assert gunicorn.ask("/pid").status == 200


@pytest.mark.every_version
def test_a_replaced_worker_that_cannot_start_spares_the_others(start: Start, tmp_path: Path) -> None:
    gunicorn = start(gunicorn_workers=2)
    wait_for(lambda: len(gunicorn.workers()) == 2)
    first, second = sorted(gunicorn.workers())
    wait_for(lambda: gunicorn.ready(within=5))  # the second one, too
    (tmp_path / "break-start").touch()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: "could not start and is tried again" in gunicorn.log())
    assert int(gunicorn.ask("/pid").text) == second
    (tmp_path / "break-start").unlink()
    wait_for(lambda: len({gunicorn.ask("/pid").text for _ in range(20)}) == 2)


def test_a_factory_with_parentheses_is_called_without_a_warning(start: Start) -> None:
    gunicorn = start(gunicorn_entrypoint="app:create_app()")
    assert gunicorn.ask("/ready").status == 200
    assert "factory" not in gunicorn.log()


def test_another_version_is_refused_in_one_sentence(start: Start, tmp_path: Path) -> None:
    package = tmp_path / "old" / "uvicorn-0.20.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: uvicorn\nVersion: 0.20.0\n")
    gunicorn = start(environment={"PYTHONPATH": str(package.parent)}, wait=False)
    assert gunicorn.process.wait(timeout=60) == 1
    (line,) = gunicorn.log().splitlines()
    assert line.startswith("The production.fastapi worker needs uvicorn from 0.30 to below 1 and found 0.20.0")


def test_a_pair_that_does_not_fit_is_refused_in_one_sentence(start: Start, tmp_path: Path) -> None:
    for name, number in (("uvicorn", "0.36.0"), ("uvicorn_worker", "0.3.0")):
        package = tmp_path / "pair" / f"{name}-{number}.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    gunicorn = start(environment={"PYTHONPATH": str(package.parent)}, wait=False)
    assert gunicorn.process.wait(timeout=60) == 1
    (line,) = gunicorn.log().splitlines()
    assert "needs uvicorn-worker from 0.4 with uvicorn from 0.36 and found 0.3.0 with 0.36.0 in" in line


def test_systemd_hears_each_second_that_a_worker_is_alive(start: Start) -> None:
    """For `standby`: its last word is old when all workers stand still."""
    gunicorn = start()
    for _ in range(3):
        assert gunicorn.hears(rb"STATUS=A worker was alive \d+ s after boot$", within=60)
    (worker,) = gunicorn.workers()
    os.kill(worker, signal.SIGSTOP)
    while gunicorn.hears(rb"STATUS=A worker was alive", within=2):
        pass
    os.kill(worker, signal.SIGCONT)
    assert gunicorn.hears(rb"STATUS=A worker was alive", within=60)


def test_a_systemd_that_does_not_read_holds_up_no_worker(start: Start, tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as more,
    ):
        deaf.bind(str(tmp_path / "deaf"))
        gunicorn = start(environment={"NOTIFY_SOCKET": str(tmp_path / "deaf")}, wait=False)
        while not deaf.recv(100).startswith(b"READY=1"):
            pass
        more.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                more.sendto(b"one too many", str(tmp_path / "deaf"))
        for _ in range(3):
            time.sleep(1)
            assert gunicorn.ask("/pid").status == 200
    assert "Traceback" not in gunicorn.log()
