"""What the attackers share: where they write, what they look for, and how long they try."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

# Longer than what is left of the build or the switch when they begin.
SECONDS = 40
APP = Path("/srv/mallory")
# What the test has hidden: in the environment of another app, in a deploy key, in the URL of a repository.
SECRETS = ("s3cret-other", "s3cret-key", "s3cret-token")
MARK = "planted-by"

# A build writes beside itself, so that its loot is in the release; a worker in the only place that it has.
PLACES = (Path.cwd(), APP / "shared")


def loot(attack: str, what: str) -> None:
    """Write down a thing that should not have been possible."""
    for place in PLACES:
        with contextlib.suppress(OSError), (place / f"loot-{os.getuid()}-{attack}").open("a") as file:
            file.write(f"{what}\n")
            return


def rounds(seconds: float = SECONDS) -> Iterator[None]:
    """As long as there is time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(0.02)


def processes() -> Iterator[Path]:
    """The folders of all other processes that can be seen, of whatever mount namespace."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            yield entry


def foreign(process: Path) -> bool:
    """Whether it lives in another mount namespace: its files are not ours."""
    try:
        return (process / "ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
    except OSError:
        return False
