# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Versions of an app that has no lock: they are resolved once, go to all of its servers, and stay.

The release says in `release.json` which versions it has (`pins`), what it would be called without them (`base`), and
which resolution they are of: empty, or the moment of `-e resolve=true`. The next release prefers the versions of the
live one, so that only what has changed in the source brings others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._release.forms import LOCKED_FORMS


class WantsPinsError(Exception):
    """The versions of this release are for another server to resolve."""


@dataclass(frozen=True)
class Live:
    """What is known of the live release."""

    base: str = ""
    resolution: str = ""
    dependencies: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    # What its virtualenv was made from, and as what it was left, where no code of a package could run meanwhile.
    unpacked: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, releases: Path, name: str) -> Live:
        """The release of that name; nothing where there is none. One of an earlier version has no pins."""
        try:
            known: dict[str, Any] = json.loads((releases / name / "release.json").read_text()) if name else {}
        except (OSError, ValueError):
            return cls()
        return cls.of(known, name)

    @classmethod
    def of(cls, known: Mapping[str, Any], name: str) -> Live:
        """The release of that name, of which this is known."""
        pins = known.get("pins", {})
        of_release = known.get("base", name), known.get("resolution", ""), known.get("dependencies", "")
        return cls(*of_release, pins, known.get("unpacked", {}))

    def resolution_of(self, base: str, *, anew: bool) -> str:
        """Which resolution a release of this base has: that of the live one, or a new one where it has no lock."""
        same = self.base == base
        if anew and not (same and self.dependencies in LOCKED_FORMS):
            return time.strftime("%Y%m%d%H%M%S", time.gmtime())
        return self.resolution if same else ""


@dataclass(frozen=True)
class Resolving:
    """How a release without a lock gets its versions."""

    given: Mapping[str, str] = field(default_factory=dict)  # those of the server that has resolved
    preferred: Mapping[str, str] = field(default_factory=dict)  # those of before
    here: bool = True  # whether this server resolves where none are given

    def check(self) -> None:
        """Raise `WantsPinsError` where another server has to come first."""
        if not self.given and not self.here:
            raise WantsPinsError


def as_constraints(pins: Mapping[str, str]) -> str:
    """Pins as a file of constraints."""
    return "".join(f"{package}=={version}\n" for package, version in sorted(pins.items()))
