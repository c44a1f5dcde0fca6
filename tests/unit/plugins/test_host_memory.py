"""How much memory there is, and how much is taken."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._host.memory import available_memory_mb, used_memory_mb


def test_what_is_available(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:  4009012 kB\nMemFree:  1 kB\nMemAvailable:    2775040 kB\n")
    assert available_memory_mb(file) == 2710


def test_what_is_used_counts_shared_pages_once(tmp_path: Path) -> None:
    for process, share in (("7", 3000), ("8", 2000)):
        (tmp_path / process).mkdir()
        text = f"Rss:  90000 kB\nPss:    {share} kB\nPss_Anon:  100 kB\n"
        (tmp_path / process / "smaps_rollup").write_text(text)
    assert used_memory_mb(["7", "8"], tmp_path) == 4
    assert used_memory_mb(["7", "999"], tmp_path) == 2, "one has ended meanwhile"


def test_this_process_uses_some() -> None:
    assert 1 < used_memory_mb([str(os.getpid())]) < 10_000
