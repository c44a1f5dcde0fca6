# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives a host the packages and the system users that it lacks, by apt and by useradd."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

# Seconds for which apt's lists are new enough, and for which another apt is waited for.
LISTS_FOR = 3600
LOCK_TIMEOUT = 120
TIMEOUT = 1800
BUSY = re.compile(r"Could not get lock|Unable to (acquire|lock)|is another process using it")
# dpkg keeps the files of the administrator, as it does in unattended upgrades.
OPTIONS = [
    "--yes",
    "--no-install-recommends",
    "-o=Dpkg::Options::=--force-confdef",
    "-o=Dpkg::Options::=--force-confold",
]

# Debian asks this program before a package starts its service. It says no for as long as its lock is held, so that one
# which a killed run has left behind does nothing.
POLICY = """#!/bin/sh
# Written by production.fastapi.host_setup while it installs packages.
flock --nonblock {lock} true && exit 0
case "${{1%.service}}" in {services}) exit 101 ;; esac
exit 0
"""

Run = Callable[[Sequence[str]], tuple[int, str]]


class SetupError(Exception):
    """What could not be installed or made, and why."""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Run a command that asks nothing; returns its exit code and output."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "DEBIAN_PRIORITY": "critical", "APT_LISTCHANGES_FRONTEND": "none"}
    environment = {**os.environ, **quiet, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=TIMEOUT,
            check=False,
        )
    except OSError as error:
        return 127, f"{words[0]}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return 124, f"{words[0]} has not ended after {TIMEOUT} s."
    return done.returncode, done.stdout.decode(errors="replace")


def lists_are_old(root: Path) -> bool:
    """Whether apt does not know which packages there are, or has not asked for an hour."""
    lists = root / "var/lib/apt/lists"
    stamps = (root / "var/lib/apt/periodic/update-success-stamp", lists)
    asked = next((path.stat().st_mtime for path in stamps if path.exists()), 0.0)
    return time.time() - asked > LISTS_FOR or not any(lists.glob("*Packages*"))


def would_install(names: Sequence[str], run: Run = run) -> bool:
    """Whether apt would install something for these names, or does not know them yet."""
    code, output = run(["apt-get", "--simulate", "install", *OPTIONS, "--", *names])
    return code != 0 or re.search("^Inst ", output, re.MULTILINE) is not None


def install(names: Sequence[str], held: Sequence[str] = (), root: Path = Path("/"), run: Run = run) -> None:
    """Install packages. What a service of `held` does is left to others: its package does not start it.

    Raises `SetupError` with what apt says.
    """
    if lists_are_old(root):
        _apt(["apt-get", "update", "--quiet", "-o=Acquire::Retries=3"], "read the lists of packages", run)
    with _held(held, root):
        _apt(["apt-get", "install", "--quiet", *OPTIONS, "--", *names], f"install {', '.join(names)}", run)


def _apt(words: Sequence[str], doing: str, run: Run) -> None:
    """Run apt, once nobody else does."""
    until = time.monotonic() + LOCK_TIMEOUT
    while True:
        code, output = run(words)
        if code == 0:
            return
        if not BUSY.search(output) or time.monotonic() > until:
            said = re.findall(r"^E: (.+)$", output, re.MULTILINE) or output.strip().splitlines()[-1:]
            others = (f"; name {' or '.join(names)} instead of {name}" for name, names in _real_names(output))
            raise SetupError(f"apt cannot {doing}: {' '.join(said)}{''.join(others)}")
        time.sleep(1)


def _real_names(output: str) -> Iterator[tuple[str, list[str]]]:
    """The names that stand for other packages, of which apt wants one to be named."""
    for found in re.finditer(r"^Package (\S+) is a virtual package provided by:\n((?: .*\n)+)", output, re.MULTILINE):
        yield found[1], list(dict.fromkeys(line.split()[0] for line in found[2].splitlines()))


@contextlib.contextmanager
def _held(services: Sequence[str], root: Path) -> Iterator[None]:
    """Let no package start these services; a policy that the host has of its own goes on."""
    policy, lock = root / "usr/sbin/policy-rc.d", root / "run/production.fastapi.packages.lock"
    if not services or (policy.exists() and "production.fastapi" not in policy.read_text(errors="replace")):
        yield
        return
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        policy.write_text(POLICY.format(lock=lock, services="|".join(services)))
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)
        os.close(descriptor)


def make_user(user: Mapping[str, str], groups: Sequence[str], run: Run = run) -> None:
    """Make a system user without a home folder who cannot log in; raises `SetupError` with what useradd says."""
    name = user["name"]
    words = ["useradd", "--system", "--home-dir", user["home"], "--no-create-home", "--shell", "/usr/sbin/nologin"]
    code, output = run([*words, *(["--gid", name] if name in groups else []), name])
    if code != 0:
        raise SetupError(f"The user {name} cannot be made: {output.strip()}")
