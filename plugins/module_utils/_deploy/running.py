# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs of an app on a host, and who may change it.

Apart from `switching`, because most modules that ask have no use for the rest of it, and Python compiles it each time.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.background import Background, BackgroundState
from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import hold
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host


class SwitchError(Exception):
    """The message is for a person; `result` is what the module returns beside it."""

    def __init__(self, message: str, result: dict[str, Any] | None = None) -> None:
        """What to say and what to return."""
        super().__init__(message)
        self.result = result or {}


@dataclass(frozen=True)
class State:
    """What a host says of an app."""

    running: frozenset[str]  # releases whose instance is ready
    present: frozenset[str]  # releases whose instance runs, starts, fails or waits for its next try
    enabled: frozenset[str]  # releases that the next boot starts
    socket_active: bool
    link: str  # the release that `current` points to
    background: BackgroundState

    @property
    def live(self) -> str:
        """The release that serves: the one that `current` names, else any that runs; empty when none does."""
        if self.link in self.running:
            return self.link
        return min(self.running, default="")


def read_state(host: Host, name: str, current: str = "") -> State:
    """What the host says of the app `name`, whose live release the link `current` names, if it has one."""
    socket_unit = f"{name}.socket"
    background = Background(host, name)
    _unused, text = host.systemctl(
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "--full",
        f"{name}@*.service",
        socket_unit,
        *background.patterns(),
    )
    active = {words[0]: words[2] for line in text.splitlines() if len(words := line.split()) > 3}
    instance = re.compile(rf"{re.escape(name)}@(.+)\.service")
    releases = {found[1]: state for unit, state in active.items() if (found := instance.fullmatch(unit))}
    link = host.at(current) if current else None
    return State(
        running=frozenset(release for release, state in releases.items() if state in {"active", "reloading"}),
        present=frozenset(release for release, state in releases.items() if state != "inactive"),
        enabled=frozenset(
            found[1] for unit in host.starts_with("multi-user.target") if (found := instance.fullmatch(unit))
        ),
        socket_active=active.get(socket_unit) == "active",
        link=link.readlink().name if link is not None and link.is_symlink() else "",
        background=background.read(active),
    )


def outdated(host: Host, name: str, release: str) -> list[str]:
    """The files on disk that are not those that the processes of a release were started from, or have read since."""
    records = [host.recorded(f"/run/{name}/{release}.{kind}") for kind in ("started", "reloaded")]
    return sorted({file for record in records for file, digest in record.items() if digest != host.digest(file)})


@contextlib.contextmanager
def alone(host: Host, name: str) -> Iterator[None]:
    """Wait until nobody else switches the app or removes releases of it; the lock of a killed process goes with it.

    Raises SwitchError, which says who holds it, when that takes too long.
    """
    with hold(f"{name}.switch", f"switches {name}", root=host.root, error=SwitchError):
        yield
