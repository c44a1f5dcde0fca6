"""What Ansible has packed of our modules is kept for the next run, until anything that goes into it changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.plugin_utils.packed_modules import (
    MOST_FOLDERS,
    OURS,
    fingerprint,
    keep,
    take,
)

ROOT = Path(__file__).parents[3]
LOCK = f"{OURS}deploy_lock-ZIP_DEFLATED-none"
PLAY = """
- hosts: "{{ groups | production.fastapi.hosts_of('app_servers') }}"
  gather_facts: false
  tasks:
    - {production.fastapi.schema: {name: nothing, release: none, known: [], heads: []}, check_mode: true}
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The folder of a run with a packed module, and one that keeps none yet."""
    run = tmp_path / "run"
    run.mkdir()
    (run / LOCK).write_text("packed")
    return run, tmp_path / "packed" / "digest"


def test_the_next_run_has_our_modules_alone(folders, tmp_path):
    run, kept = folders
    for name in (f"{LOCK}-part", f"{LOCK}.lock", "ansible.modules.apt-ZIP_DEFLATED-none", "ansible.legacy.apt-x-none"):
        (run / name).write_text("other")
    keep(run, kept)
    take(kept, tmp_path / "next")
    assert {path.name: path.read_text() for path in (tmp_path / "next").iterdir()} == {LOCK: "packed"}


@pytest.mark.parametrize("open_to_others", ["", ".."])
def test_what_others_may_write_to_is_neither_read_nor_written(folders, tmp_path, open_to_others):
    run, kept = folders
    keep(run, kept)
    (kept / open_to_others).chmod(0o770)
    take(kept, tmp_path / "next")
    assert not (tmp_path / "next").exists()
    (run / f"{OURS}probe-ZIP_DEFLATED-none").write_text("packed")
    keep(run, kept)
    assert [path.name for path in kept.iterdir()] == [LOCK]


def test_nothing_is_made_where_nothing_was_packed(folders):
    run, kept = folders
    (run / LOCK).unlink()
    keep(run, kept)
    assert not kept.parent.exists()


def test_what_was_not_used_for_long_goes(folders):
    run, kept = folders
    kept.parent.mkdir(mode=0o700)
    for number in range(MOST_FOLDERS + 1):
        (kept.parent / f"old{number}").mkdir()
        hours_ago = time.time() - 3600 * (2 + number)
        os.utime(kept.parent / f"old{number}", (hours_ago, hours_ago))
    (kept.parent / "in use elsewhere").mkdir()
    keep(run, kept)
    assert sorted(path.name for path in kept.parent.iterdir()) == ["digest", "in use elsewhere", "old0", "old1"]


def test_the_digest_changes_with_all_that_is_packed(tmp_path):
    code, given = tmp_path / "code.py", tmp_path / "given"
    given.mkdir()
    code.write_text("a = 1\n")
    (given / "basic.py").write_text("b = 1\n")
    seen = [fingerprint([code], [given])]
    assert fingerprint([code], [given, tmp_path / "missing"]) == seen[0]
    code.write_text("a = 2\n")
    seen.append(fingerprint([code], [given]))
    os.utime(given / "basic.py", ns=(0, 1))
    seen.append(fingerprint([code], [given]))
    (given / "facts.py").write_text("")
    seen.append(fingerprint([code], [given]))
    assert len(set(seen)) == len(seen)


def test_a_run_uses_what_the_run_before_has_packed(tmp_path):
    """By Ansible itself: what is kept is changed, so the run that uses it fails."""
    (tmp_path / "play.yml").write_text(PLAY)
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"children": {"app_servers": {"hosts": {"one": host}}}}}
    (tmp_path / "hosts.yml").write_text(json.dumps(inventory))
    program = Path(sys.executable).with_name("ansible-playbook")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "-i", tmp_path / "hosts.yml", tmp_path / "play.yml"],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )

    first = run()
    assert first.returncode == 0, first.stdout + first.stderr
    (kept,) = (tmp_path / "home/production.fastapi/packed").glob(f"*/{OURS}schema-*")
    second = run()
    assert second.returncode == 0, second.stdout + second.stderr
    kept.write_bytes(b"changed")
    assert run().returncode != 0
