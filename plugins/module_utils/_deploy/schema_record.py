# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which revision the database of an app has, and which revisions each release knows, as Alembic names them.

It is beside the history and not in the release, which does not change once it is built.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._host.record_file import replace_record
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE

KEPT = 200


@dataclass
class Schema:
    """What is recorded of one app."""

    heads: list[str] = field(default_factory=list)  # of the database, after the last migration
    known: dict[str, list[str]] = field(default_factory=dict)  # the revisions that each release knows

    def unknown_to(self, release: str) -> list[str]:
        """The revisions of the database that the release does not know; none when nothing is recorded of it."""
        return sorted(set(self.heads) - set(self.known[release])) if release in self.known else []


class SchemaRecord:
    """The file of an app."""

    def __init__(self, root: Path, name: str) -> None:
        """`root` is that of the host, `name` the app's."""
        self.path = root / STATE / name / "schema.json"

    def read(self) -> Schema:
        """What is recorded; nothing where there is no file, or one that is broken."""
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
            return Schema(list(known["heads"]), {str(name): list(names) for name, names in known["known"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Schema()

    def note(self, release: str, known: Sequence[str], heads: Sequence[str]) -> bool:
        """Record what a release knows and what the database has now; returns whether that is news.

        All but the last `KEPT` releases are forgotten. Raises OSError when it cannot be written.
        """
        before = self.read()
        names = {**{name: value for name, value in before.known.items() if name != release}, release: sorted(known)}
        after = Schema(sorted(heads), dict(list(names.items())[-KEPT:]))
        if after == before:
            return False
        replace_record(self.path, json.dumps(vars(after), indent=1) + "\n")
        return True
