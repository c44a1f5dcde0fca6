"""The app `hello` of the scenarios `releases` and `deploys`: its sources, what the hosts have of it, and load."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from asking import ask_json, on
from load import Load, load

SCENARIO = os.environ["MOLECULE_SCENARIO_NAME"]
# Each scenario has hosts of its own, so that several can run side by side.
NAMES = (f"pf-{SCENARIO}12", f"pf-{SCENARIO}13")
# Limits a run to the first, where the other Debian would be the same: to all that an inventory has on it, and to the
# controller, which tells what was found.
ONE = ("--limit", f"*{NAMES[0]},localhost")
SITE = "hello.example.com"
# An answer takes milliseconds; a client that had to wait as long as this was stuck.
STUCK = 15.0
# What the apps of both scenarios answer, and what serves them.
SHARED = Path(__file__).parent / "app"


def make_source(app: Path, folder: Path) -> None:
    """Make a source of a scenario's app in a new folder; each edition of it is a release of its own."""
    for part in (SHARED, app):
        shutil.copytree(part, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


@contextmanager
def load_on(*names: str, allowed: int = 0, slower: int = 1) -> Iterator[list[Load]]:
    """Load on these hosts for as long as the block lasts; what became of it is checked at its end."""
    with ExitStack() as stack:
        loads = [stack.enter_context(load(name, SITE, slower=slower)) for name in names]
        yield loads
    for result in loads:
        assert result.sent > 50
        assert result.begun < result.sent / 4, "connections are kept from one request to the next"
        assert len(result.failed) <= allowed, result.failed
        assert result.longest < STUCK


def live(hosts: list[Any]) -> str:
    """The edition that each host serves, when it is the same."""
    (edition,) = {ask_json(host, SITE, "/")["edition"] for host in hosts}
    return str(edition)


def release_of(host: Any) -> str:
    """The release that `current` names."""
    return on(host, "basename $(readlink /srv/hello/current)").strip()


def units(host: Any, *patterns: str) -> list[str]:
    """The units of these patterns in any state, by default the releases and what a deploy could leave behind."""
    wanted = " ".join(f"'{pattern}'" for pattern in patterns or ("hello@*", "production.fastapi-probe*"))
    listed = on(host, f"systemctl list-units --all --plain --no-legend --full {wanted}")
    return [line.split()[0] for line in listed.splitlines()]


def restart(name: str) -> None:
    """Restart a host, and wait until it is up."""
    up = "until systemctl is-system-running --wait 2>/dev/null; do sleep 0.2; done"
    subprocess.run(["docker", "restart", name], check=True, capture_output=True)
    subprocess.run(["docker", "exec", name, "timeout", "120", "sh", "-c", up], check=True, capture_output=True)
