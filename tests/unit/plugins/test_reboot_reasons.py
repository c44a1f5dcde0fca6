"""Why a server should be restarted, read of files as the kernel and dpkg write them, and of a real process."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.production.fastapi.plugins.module_utils._host.reboot_reasons import (
    REPLACED,
    reboot_reasons,
    system_started,
)

MAPS = "7f1 r-xp 00001000 fe:01 1234   {path}\n7f2 r--p 00002000 fe:01 1235   /usr/lib/y.so (deleted)\n"


@pytest.fixture
def root(tmp_path):
    """A server that was started 100 s ago, with a kernel that is 1000 s older."""
    now = int(time.time())
    for folder in ("run", "proc/1", "var/lib/dpkg/info"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/stat").write_text(f"cpu 1 2 3\nbtime {now - 1100}\n")
    started = 1000 * os.sysconf("SC_CLK_TCK")
    (tmp_path / "proc/1/stat").write_text(f"1 (a (b) c) S {' '.join(['0'] * 18)} {started} 5 6\n")
    (tmp_path / "proc/1/comm").write_text("systemd\n")
    (tmp_path / "proc/1/maps").write_text(MAPS.format(path="/usr/lib/x.so"))
    for name in ("libc6:amd64", "systemd", "linux-image-6.1.0-9-amd64", "nginx"):
        file = tmp_path / f"var/lib/dpkg/info/{name}.list"
        file.touch()
        os.utime(file, (now - 200, now - 200))
    return tmp_path


def test_nothing_waits_after_a_start(root):
    assert system_started(root) == pytest.approx(time.time() - 100, abs=2)
    assert reboot_reasons(root) == []


@pytest.mark.parametrize(
    ("package", "reasons"),
    [
        ("libc6:amd64", ["a new libc6"]),
        ("systemd", ["a new systemd"]),
        ("linux-image-6.1.0-9-amd64", ["a new linux-image-6.1.0-9-amd64"]),
        ("nginx", []),
    ],
)
def test_a_package_that_is_newer_than_the_start(root, package, reasons):
    os.utime(root / f"var/lib/dpkg/info/{package}.list")
    assert reboot_reasons(root) == reasons


def test_what_the_system_itself_asks_for(root):
    (root / "run/reboot-required").touch()
    assert reboot_reasons(root) == ["/run/reboot-required"]


@pytest.mark.parametrize(
    ("path", "reasons"),
    [
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)", ["systemd runs what was replaced"]),
        ("/srv/shop/releases/1/venv/lib/x.so (deleted)", []),
        ("/memfd:x (deleted)", []),
    ],
)
def test_code_in_memory_whose_file_is_gone(root, path, reasons):
    (root / "proc/1/maps").write_text(MAPS.format(path=path))
    assert reboot_reasons(root) == reasons


def test_the_kernel_writes_it_so(tmp_path):
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep"), program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            program.unlink()
            give_up = time.monotonic() + 30
            while not (found := REPLACED.findall(mapped(process.pid).replace(str(tmp_path), "/usr/bin"))):
                # The kernel maps a program a moment after it has begun.
                assert time.monotonic() < give_up, mapped(process.pid)
            assert found == ["/usr/bin/sleep"]
        finally:
            process.kill()


def mapped(pid):
    return Path(f"/proc/{pid}/maps").read_text()
