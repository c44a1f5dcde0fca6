"""Locks that no other account can hold, and that say who holds them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import (
    hold,
    hold_if_free,
    private_folder,
)


def test_one_at_a_time_and_the_second_hears_who_the_first_is(tmp_path: Path) -> None:
    with hold("shop.build", "builds shop", root=tmp_path):
        said = rf"^Process {os.getpid()} builds shop since \d\d:\d\d UTC; it did not end within 0.2 s"
        second = hold("shop.build", "builds shop", root=tmp_path, timeout=0.2, error=ValueError)
        with pytest.raises(ValueError, match=said), second:
            pass
        with hold_if_free("shop.build", "looks", root=tmp_path) as free:
            assert free is False
        with hold("shop.switch", "switches shop", root=tmp_path, timeout=0):
            pass
    with hold_if_free("shop.build", "looks", root=tmp_path) as free:
        assert free is True


def test_nobody_else_can_open_it(tmp_path: Path) -> None:
    with hold("shop.build", "builds shop", root=tmp_path):
        folder = private_folder(tmp_path)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "shop.build.lock").stat().st_mode & 0o777 == 0o600
    folder.chmod(0o755)
    assert private_folder(tmp_path).stat().st_mode & 0o777 == 0o700


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import hold\n"
        "with hold('shop.build', 'builds shop', root=Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path), *sys.path], check=False)
    with hold("shop.build", "builds shop", root=tmp_path, timeout=0):
        pass
