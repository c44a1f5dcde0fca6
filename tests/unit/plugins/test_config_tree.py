"""What a transaction does to a host, tried on a folder that stands for `/`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._config_tree import transaction as config_tree
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

SECRET = "PASSWORD=correct-horse\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = host(tmp_path / "root")
    put(place, "etc/app/main.conf", "distribution\n", 0o640)
    return place


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def note(log: Path, what: str) -> list[str]:
    """A command that appends `what` to the log."""
    return ["sh", "-c", f"echo {what} >> {log}"]


# What a run changes


def test_files_arrive_with_owner_mode_and_folders(root: Path) -> None:
    result = run(root, file("/etc/new/deep/a.conf", "a\n", mode=0o600))
    place = root / "etc/new/deep/a.conf"
    assert place.read_text() == "a\n"
    assert place.stat().st_mode & 0o7777 == 0o600
    assert result.changed
    assert result.files == {"/etc/new/deep/a.conf": "added"}


def test_a_second_run_changes_nothing_and_starts_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [file("/etc/app/main.conf"), file("/etc/app/more.conf")]
    run(root, *files)
    before = tree(root)
    for module, function in ((subprocess, "Popen"), (os, "fsync"), (os, "mkdir"), (os, "link"), (os, "replace")):
        monkeypatch.setattr(module, function, None)
    result = run(root, *files, validate=["false"], apply=["false"], verify=["false"])
    assert not result.changed
    assert result.files == {}
    assert result.diff == []
    assert tree(root) == before


def test_a_changed_file_is_shown_as_a_diff(root: Path) -> None:
    run(root, file("/etc/app/main.conf", "one\n"))
    (diff,) = run(root, file("/etc/app/main.conf", "two\n")).diff
    assert (diff["before"], diff["after"]) == ("one\n", "two\n")


def test_an_edit_by_hand_is_shown_and_overwritten(root: Path) -> None:
    run(root, file("/etc/app/main.conf"))
    (root / "etc/app/main.conf").write_text("by hand\n")
    result = run(root, file("/etc/app/main.conf"))
    assert result.files == {"/etc/app/main.conf": "changed"}
    assert result.diff[0]["before"] == "by hand\n"
    assert (root / "etc/app/main.conf").read_text() == "new\n"


def test_a_drifted_mode_is_repaired_and_reported_as_mode(root: Path) -> None:
    run(root, file("/etc/app/main.conf", mode=0o640))
    (root / "etc/app/main.conf").chmod(0o666)
    result = run(root, file("/etc/app/main.conf", mode=0o640))
    assert result.files == {"/etc/app/main.conf": "mode"}
    assert "0666" in result.diff[0]["before"]
    assert (root / "etc/app/main.conf").stat().st_mode & 0o777 == 0o640


def test_a_file_that_leaves_goes_with_its_empty_folders(root: Path) -> None:
    before = tree(root, state=False)
    run(root, file("/etc/new/sites/a.conf"), file("/etc/new/b.conf"))
    result = run(root, file("/etc/new/b.conf"))
    assert result.files == {"/etc/new/sites/a.conf": "removed"}
    assert not (root / "etc/new/sites").exists()
    assert run(root).files == {"/etc/new/b.conf": "removed"}
    assert tree(root, state=False) == before
    assert not (root / STATE).exists()


def test_a_folder_with_files_of_somebody_else_stays(root: Path) -> None:
    run(root, file("/etc/new/a.conf"))
    put(root, "etc/new/theirs.conf", "theirs\n")
    run(root)
    assert sorted(place.name for place in (root / "etc/new").iterdir()) == ["theirs.conf"]


@pytest.mark.parametrize("content", ["new\n", "distribution\n"], ids=["overwritten", "the same by chance"])
def test_a_displaced_file_comes_back_as_it_was(root: Path, content: str) -> None:
    before = tree(root, state=False)
    run(root, file("/etc/app/main.conf", content, mode=0o640))
    run(root, file("/etc/app/main.conf", "newer\n", mode=0o640))
    run(root)
    assert tree(root, state=False) == before


def test_a_displaced_link_comes_back(root: Path) -> None:
    (root / "etc/app/link.conf").symlink_to("main.conf")
    before = tree(root, state=False)
    assert run(root, file("/etc/app/link.conf")).files == {"/etc/app/link.conf": "changed"}
    assert not (root / "etc/app/link.conf").is_symlink()
    assert (root / "etc/app/main.conf").read_text() == "distribution\n"
    run(root)
    assert tree(root, state=False) == before


def test_a_link_put_in_place_of_our_file_is_kept_for_later(root: Path) -> None:
    run(root, file("/etc/app/own.conf"))
    (root / "etc/app/own.conf").unlink()
    (root / "etc/app/own.conf").symlink_to("main.conf")
    run(root, file("/etc/app/own.conf"))
    assert (root / "etc/app/own.conf").read_text() == "new\n"
    run(root)
    assert str((root / "etc/app/own.conf").readlink()) == "main.conf"


def test_what_somebody_put_in_place_of_a_leaving_file_stays(root: Path) -> None:
    run(root, file("/etc/app/own.conf"))
    (root / "etc/app/own.conf").unlink()
    (root / "etc/app/own.conf").symlink_to("main.conf")
    assert "/etc/app/own.conf" in run(root).warnings[0]
    assert (root / "etc/app/own.conf").is_symlink()


def test_originals_are_nobodys_to_read(root: Path) -> None:
    run(root, file("/etc/app/main.conf"))
    assert (root / STATE / "test/displaced").stat().st_mode & 0o777 == 0o700


def test_generation_follows_the_tree_and_is_written_where_asked(root: Path) -> None:
    marked = file("/etc/app/marked", "@GENERATION@\n")
    copied = file("/etc/app/copied", "@GENERATION@\n", rendered=False)
    first = run(root, marked, copied, verify=[f"grep -q @GENERATION@ {root}/etc/app/marked"])
    assert (root / "etc/app/marked").read_text() == f"{first.generation}\n"
    assert (root / "etc/app/copied").read_text() == "@GENERATION@\n"
    assert run(root, marked, copied).generation == first.generation
    assert run(root, marked, copied, file("/etc/app/more")).generation != first.generation


# Check mode


def test_check_mode_touches_nothing_on_a_bare_host(tmp_path: Path, log: Path) -> None:
    bare = host(tmp_path / "bare")
    before = tree(bare)
    result = run(bare, file("/etc/app/a.conf"), apply=[note(log, "apply")], verify=[note(log, "verify")], check=True)
    assert result.files == {"/etc/app/a.conf": "added"}
    assert tree(bare) == before
    assert list((bare / "run").iterdir()) == []
    assert not log.exists()


def test_check_mode_validates_and_names_what_it_could_not_run(root: Path) -> None:
    absent = {"command": "true", "requires": ["/nowhere/venv"]}
    result = run(root, file("/etc/a"), validate=["no-such-program -t", absent, "true"], check=True)
    assert result.skipped == [
        "no-such-program -t (no no-such-program on this host yet)",
        "true (no /nowhere/venv on this host yet)",
    ]
    before = tree(root)
    with pytest.raises(ConfigError, match="refused"):
        run(root, file("/etc/a"), validate=["grep -q good {stage}/etc/a"], check=True)
    assert tree(root) == before


def test_check_mode_does_without_users_that_a_real_run_would_have(root: Path) -> None:
    missing = ConfigFile("/etc/a", b"", "no-such-user", "no-such-group")
    assert run(root, missing, validate=["test -e {stage}/etc/a"], check=True).files == {"/etc/a": "added"}
    with pytest.raises(ConfigError, match="The user no-such-user of /etc/a does not exist"):
        run(root, missing)


def test_check_mode_tells_of_a_killed_run_and_leaves_it(root: Path) -> None:
    put(root, f"{STATE}/test/journal.json", "{}")
    before = tree(root)
    result = run(root, check=True)
    assert result.changed
    assert "killed" in result.warnings[0]
    assert tree(root) == before


# Validation


def test_the_stage_is_the_whole_tree_as_it_will_be(root: Path, log: Path) -> None:
    run(root, file("/etc/app/leaving.conf"), file("/etc/app/main.conf"))
    put(root, "etc/app/theirs/x.conf", "theirs\n")
    look = ["sh", "-c", f"cd {{stage}} && find . -type f -exec grep -H . {{}} + | sort > {log}"]
    run(root, file("/etc/app/a.conf"), stage_with=["/etc/app", "/etc/absent"], validate=[look])
    assert log.read_text().split() == [
        "./etc/app/a.conf:new",
        "./etc/app/main.conf:distribution",
        "./etc/app/theirs/x.conf:theirs",
    ]
    assert not (root / STATE / "test/stage").exists()


def test_a_refusal_names_real_paths_and_the_hint_and_changes_nothing(root: Path, log: Path) -> None:
    before = tree(root)
    command = {"command": ["sh", "-c", "echo bad line in {stage}/etc/app/a.conf:3; exit 4"], "hint": "Look at app_x."}
    with pytest.raises(ConfigError) as error:
        run(root, file("/etc/app/a.conf"), validate=[command], apply=[note(log, "apply")])
    assert str(error.value) == (
        "The new configuration was refused: `sh -c 'echo bad line in /etc/app/a.conf:3; exit 4'` "
        "ended with status 4: bad line in /etc/app/a.conf:3. Look at app_x. Nothing was changed."
    )
    assert tree(root) == before
    assert not log.exists()


def test_a_validator_that_hangs_is_ended(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"`sleep 60` did not end within 0.1 s"):
        run(root, file("/etc/a"), validate=["sleep 60"], command_timeout=0.1)


def test_a_missing_validator_is_an_error_in_a_real_run(root: Path) -> None:
    with pytest.raises(ConfigError, match="`no-such-program` cannot be started"):
        run(root, file("/etc/a"), validate=["no-such-program"])


# Failure after the swap


@pytest.mark.parametrize("step", ["apply", "verify"])
def test_a_failed_step_puts_back_everything_and_applies_it(root: Path, log: Path, step: str) -> None:
    run(root, file("/etc/app/main.conf"), file("/etc/app/leaving.conf"))
    before = tree(root)
    show = ["sh", "-c", f"cat {root}/etc/app/main.conf >> {log}"]
    failing = ["sh", "-c", f"! grep -q newer {root}/etc/app/main.conf"]
    steps = {"apply": [show], "verify": []}
    steps[step].append(failing)
    with pytest.raises(ConfigError, match=r"did not work: .*status 1.* The old one is back and in use"):
        run(root, file("/etc/app/main.conf", "newer\n"), file("/etc/x/y"), verify_timeout=0.1, **steps)
    assert tree(root) == before
    assert log.read_text() == "newer\nnew\n"


def test_if_the_old_state_cannot_be_applied_either_the_error_says_both(root: Path) -> None:
    with pytest.raises(ConfigError) as error:
        run(root, file("/etc/app/main.conf"), apply=[["sh", "-c", f"cat {root}/etc/app/main.conf; exit 1"]])
    assert "status 1: new. Putting the old one back failed too:" in str(error.value)
    assert "The old files are back, but applying them failed" in str(error.value)
    assert "status 1: distribution." in str(error.value)


def test_verify_is_tried_until_it_succeeds(root: Path, log: Path) -> None:
    patient = ["sh", "-c", f"echo try >> {log}; test $(wc -l < {log}) -ge 3"]
    run(root, file("/etc/a"), verify=[patient], verify_timeout=10)
    assert log.read_text().split() == ["try"] * 3


def test_verify_that_hangs_ends_with_its_time(root: Path) -> None:
    before = tree(root)
    with pytest.raises(ConfigError, match=r"not verified within 0.3 s: `sleep 60` did not end"):
        run(root, file("/etc/a"), verify=["sleep 60"], verify_timeout=0.3)
    assert tree(root) == before


# Secrets


def test_secrets_are_in_no_diff_not_even_when_they_leave(root: Path) -> None:
    results = [
        run(root, file("/etc/env", SECRET, secret=True, mode=0o600)),
        run(root, file("/etc/env", SECRET + "A=b\n", mode=0o600)),
        run(root, file("/etc/env", SECRET, secret=True, mode=0o600)),
        run(root),
    ]
    assert [result.files["/etc/env"] for result in results] == ["added", "changed", "changed", "removed"]
    shown = json.dumps([results[0].diff, results[1].diff, results[3].diff])
    assert "correct-horse" not in shown
    assert "secret, not shown" in shown


@pytest.mark.parametrize("step", ["validate", "apply", "verify"])
@pytest.mark.parametrize("part", ["correct-horse", "PASSWORD=correct-horse"])
def test_secrets_in_the_output_of_a_command_are_masked(root: Path, step: str, part: str) -> None:
    chatty = {step: [["sh", "-c", "cat $0; exit 1", str(put(root, "said", part))]]}
    with pytest.raises(ConfigError) as error:
        run(root, file("/etc/env", SECRET, secret=True), verify_timeout=0.1, **chatty)
    assert "correct-horse" not in str(error.value)
    assert "********" in str(error.value)


# Refused before anything changed


@pytest.mark.parametrize(
    ("dest", "reason"),
    [("/etc/app", "is a folder"), ("/etc/app/main.conf/x", "needs a folder at /etc/app/main.conf")],
)
def test_a_place_that_is_taken_is_refused(root: Path, dest: str, reason: str) -> None:
    before = tree(root)
    with pytest.raises(ConfigError, match=reason):
        run(root, file("/etc/fine"), file(dest))
    assert tree(root) == before


def test_a_damaged_manifest_is_named(root: Path) -> None:
    put(root, f"{STATE}/test.json", "{")
    with pytest.raises(ConfigError, match=r"/var/lib/production\.fastapi/test\.json is damaged"):
        run(root, file("/etc/a"))


def test_two_runs_of_one_name_wait_for_each_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_tree, "LOCK_TIMEOUT", 0)
    first = transaction(root, file("/etc/a"))
    with first._locked(), pytest.raises(ConfigError, match="Another run of test has held"):
        run(root, file("/etc/b"))
    assert run(root, file("/etc/b")).changed


# What stays though the variables do not have it


def test_a_file_that_is_kept_stays_as_it_is_and_is_ours_until_it_is_not_kept(root: Path) -> None:
    run(root, file("/etc/app/main.conf"), file("/etc/app/sites/blog.conf", "blog\n", mode=0o600))
    before = tree(root)["etc/app/sites/blog.conf"]
    result = run(root, file("/etc/app/main.conf", "newer\n"), keep=["/etc/app/sites/blog.*"])
    assert result.files == {"/etc/app/main.conf": "changed"}
    assert tree(root)["etc/app/sites/blog.conf"] == before
    assert run(root, file("/etc/app/main.conf", "newer\n")).files == {"/etc/app/sites/blog.conf": "removed"}
    assert not (root / "etc/app/sites").exists()


def test_what_is_kept_is_in_the_stage_and_in_the_generation(root: Path) -> None:
    shop, blog = file("/etc/app/shop.conf"), file("/etc/app/blog.conf")
    both = run(root, shop, blog)
    seen = ["sh", "-c", "test -e {stage}/etc/app/blog.conf"]
    other = file("/etc/app/shop.conf", "other\n")
    assert run(root, other, keep=["/etc/app/blog.conf"], validate=[seen]).files == {"/etc/app/shop.conf": "changed"}
    assert run(root, shop, keep=["/etc/app/blog.conf"]).generation == both.generation


def test_a_pattern_keeps_nothing_of_others(root: Path) -> None:
    run(root, file("/etc/app/a.conf"), keep=["/etc/app/*"])
    assert (root / "etc/app/main.conf").read_text() == "distribution\n"
    assert list(json.loads((root / STATE / "test.json").read_text())["files"]) == ["/etc/app/a.conf"]


def test_the_inventory_is_remembered_and_no_change_by_itself(root: Path) -> None:
    run(root, file("/etc/app/main.conf"), inventory="production")
    assert json.loads((root / STATE / "test.json").read_text())["inventory"] == "production"
    assert not run(root, file("/etc/app/main.conf"), inventory="staging").changed
    assert json.loads((root / STATE / "test.json").read_text())["inventory"] == "staging"


def test_what_another_inventory_has_written_since_it_was_seen_is_not_removed(root: Path) -> None:
    ours = run(root, file("/etc/app/ours.conf"), inventory="ours", seen="")
    both = [file("/etc/app/ours.conf"), file("/etc/app/theirs.conf")]
    theirs = run(root, *both, inventory="theirs", seen=ours.generation)
    before = tree(root)
    with pytest.raises(ConfigError, match="The inventory theirs has changed the files of test on this host"):
        run(root, file("/etc/app/ours.conf", "newer\n"), inventory="ours", seen=ours.generation)
    assert tree(root) == before
    # The next run sees it, and its own second transaction is not a surprise to a run.
    for text in ("newer\n", "newest\n"):
        run(root, file("/etc/app/ours.conf", text), inventory="ours", seen=theirs.generation, keep=["/etc/app/th*"])
    assert (root / "etc/app/theirs.conf").exists()


def test_on_a_host_that_was_bare_another_inventory_may_have_been_faster(root: Path) -> None:
    run(root, file("/etc/app/theirs.conf"), inventory="theirs", seen="")
    with pytest.raises(ConfigError, match=r"run it again\. Nothing was changed"):
        run(root, file("/etc/app/ours.conf"), inventory="ours", seen="")
