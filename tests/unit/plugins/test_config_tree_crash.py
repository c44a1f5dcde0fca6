"""A transaction is killed, stopped and starved at each of its steps; the host ends in the old state or in the new."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._config_tree.files import ConfigError, ConfigFile
from ansible_collections.production.fastapi.tests.unit.plugins.config_tree_helpers import (
    STATE,
    file,
    host,
    put,
    run,
    transaction,
    tree,
)

# Everything by which the transaction changes the disk goes through one of these.
CALLS = ("open", "write", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "chmod", "fchmod", "fchown")
OLD = [file("/etc/app/main.conf", "old\n"), file("/etc/app/leaving.conf", "old\n"), file("/etc/gone/deep/x", "old\n")]
NEW = [
    file("/etc/app/main.conf", "new\n", mode=0o600),
    file("/etc/app/taken.conf", "new\n"),
    file("/etc/app/brand.conf", "new\n"),
    file("/etc/fresh/deep/y", "new\n"),
]


STEPS: dict[str, Any] = {"stage_with": ["/etc/app"], "validate": ["true"], "apply": ["true"], "verify": ["true"]}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill is not a power cut: the next run sees what was written, so waiting for the disk proves nothing here."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A host with an older state of the transaction, a displaced file, and one that will be displaced."""
    root = host(tmp_path / "template")
    put(root, "etc/app/leaving.conf", "distribution\n", 0o640)
    put(root, "etc/app/taken.conf", "distribution\n", 0o600)
    run(root, *OLD)
    return root


@contextmanager
def at_call(number: int, act: Callable[[], None]) -> Iterator[list[str]]:
    """Call `act` just before the call of that number; yields the names of the calls made."""
    made: list[str] = []
    originals = {name: getattr(os, name) for name in CALLS}

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            made.append(name)
            if len(made) == number:
                act()
            return originals[name](*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, counted(name))
    try:
        yield made
    finally:
        for name, function in originals.items():
            setattr(os, name, function)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def killed(number: int, work: Callable[[], Any]) -> bool:
    """Whether a child that does `work` was killed at that call; false when the work has fewer."""
    child = os.fork()
    if child == 0:
        with at_call(number, die):
            work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.fixture
def fresh(template: Path) -> Callable[[], Path]:
    """A new copy of the template, in the place of the last one."""

    def copy() -> Path:
        root = template.with_name("root")
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(template, root, symlinks=True)
        return root

    return copy


def timeless(root: Path) -> dict[str, Any]:
    """The tree without times, which differ between two runs that write the same."""
    return {path: value[:4] for path, value in tree(root).items()}


@pytest.fixture
def wanted(fresh: Callable[[], Path]) -> dict[str, Any]:
    """The tree after an undisturbed run."""
    root = fresh()
    run(root, *NEW, **STEPS)
    return timeless(root)


Fresh = Callable[[], Path]
Tree = dict[str, Any]


def test_killed_anywhere_the_next_run_finds_the_old_state_or_the_new_one(
    template: Path, fresh: Fresh, wanted: Tree
) -> None:
    old = tree(template)
    committed = False
    for call in range(1, 1000):
        root = fresh()
        if not killed(call, transaction(root, *NEW, **STEPS).run):
            break
        transaction(root, *NEW, **STEPS)._recover()
        committed = committed or tree(root) != old
        if committed:
            assert timeless(root) == wanted, f"killed at call {call}"
        run(root, *NEW, **STEPS)
        assert timeless(root) == wanted, f"killed at call {call}"
    assert committed
    assert call > 80


def test_killed_while_putting_back_the_next_run_puts_back(template: Path, fresh: Fresh) -> None:
    old = tree(template)
    swapped = next(call for call in range(1, 1000) if is_swapped(fresh(), call))
    for call in range(1, 1000):
        root = fresh()
        killed(swapped, transaction(root, *NEW).run)
        done = not killed(call, transaction(root, *NEW)._recover)
        transaction(root, *NEW)._recover()
        assert tree(root) == old, f"killed at call {call} of putting back"
        if done:
            break
    assert call > 15


def test_what_somebody_writes_after_a_kill_and_before_our_swap_is_theirs(fresh: Fresh) -> None:
    kept = 0
    for call in range(1, 1000):
        root = fresh()
        assert killed(call, transaction(root, *NEW).run)
        brand = root / "etc/app/brand.conf"
        if brand.exists():
            break
        brand.write_text("theirs\n")
        transaction(root, *NEW)._recover()
        assert brand.read_text() == "theirs\n", f"killed at call {call}"
        kept += 1
    assert kept > 40


def is_swapped(root: Path, call: int) -> bool:
    """Whether a run killed at that call has all new files in place and is not committed."""
    killed(call, transaction(root, *NEW).run)
    return (root / STATE / "test/journal.json").exists() and '"/etc/fresh/deep/y"' in (
        root / STATE / "test.json"
    ).read_text()


@pytest.mark.parametrize(
    ("event", "reason"), [(disk_full, "No space left on device"), (terminate, "stopped by SIGTERM")]
)
def test_failing_anywhere_leaves_the_old_state_or_the_new_one(
    template: Path, fresh: Fresh, wanted: Tree, event: Callable[[], None], reason: str
) -> None:
    old = tree(template)
    failures, reasons = 0, set()
    for call in range(1, 1000):
        root = fresh()
        try:
            with at_call(call, event) as made:
                run(root, *NEW, **STEPS)
        except (ConfigError, OSError) as error:
            failures += 1
            reasons.add(reason in str(error))
            assert tree(root) == old, f"{made[-1]}, call {call}"
        else:
            run(root, *NEW, **STEPS)
            assert timeless(root) == wanted, f"{made[-1]}, call {call}"
        if len(made) < call:
            break
    assert reasons == {True}
    assert failures > 50


def test_no_file_is_renamed_into_place_before_the_disk_has_it(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    renamed: list[str] = []
    replace = os.replace

    def checked(source: Path, target: Path) -> None:
        assert source.stat().st_ino in synced, target
        renamed.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    monkeypatch.setattr(os, "replace", checked)
    run(template, *NEW)
    files = ["main.conf", "taken.conf", "brand.conf", "y", "leaving.conf", "test.json"]
    assert renamed == ["journal.json", "journal.json", *files]
    assert (template / "etc/app").stat().st_ino in synced


def test_a_file_that_does_not_fit_is_named_and_nothing_changes(template: Path) -> None:
    old = tree(template)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ConfigError, match=r"File too large: .*/etc/app/\.big.* Nothing was changed"):
            run(template, ConfigFile("/etc/app/big", b"x" * 200_000, *owner()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tree(template) == old


def owner() -> tuple[str, str]:
    return OLD[0].owner, OLD[0].group


def test_after_a_kill_the_service_gets_its_old_configuration_again(template: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    show = ["sh", "-c", f"cat {template}/etc/app/main.conf >> {log}; grep -q old {log} || kill -9 $PPID"]
    child = os.fork()
    if child == 0:
        run(template, *NEW, apply=[show])
        os._exit(0)
    os.waitpid(child, 0)
    assert (template / "etc/app/main.conf").read_text() == "new\n"
    result = run(template, *OLD)
    assert result.recovered
    assert result.changed
    assert (template / "etc/app/main.conf").read_text() == "old\n"
    assert log.read_text() == "new\nold\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_stopped_while_a_command_runs_it_ends_the_command_and_puts_back(
    template: Path, tmp_path: Path, number: signal.Signals
) -> None:
    old = tree(template)
    started = tmp_path / "started"
    sleep = ["sh", "-c", f"grep -q old {template}/etc/app/main.conf || {{ echo $$ > {started}; exec sleep 60; }}"]
    child = os.fork()
    if child == 0:
        try:
            run(template, *NEW, apply=[sleep])
        except ConfigError as error:
            os._exit(0 if f"stopped by {number.name}" in str(error) else 1)
        os._exit(2)
    deadline = time.monotonic() + 10
    while not (started.exists() and started.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child, number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tree(template) == old
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
