# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Package indexes that ask who wants something: what opens them, and who gets that.

Credentials are in the environment and in a file of one command, which go with it. They are part of no name.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError

VARIABLE = "app_index_credentials"


@dataclass(frozen=True)
class Lent:
    """What one command has of the credentials: variables, and pairs of a folder and where its unit sees it."""

    environment: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[tuple[Path, Path]] = ()


@dataclass(frozen=True)
class Credentials:
    """`{index: {username, password}}`, where an index is the name that uv knows it by, or its URL."""

    of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, str]:
        """The variables in which uv looks for those of an index with a name."""
        found: dict[str, str] = {}
        for name, pair in self.of.items():
            if "://" not in name:
                variable = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"
                found |= {f"{variable}_USERNAME": pair["username"], f"{variable}_PASSWORD": pair["password"]}
        return found

    @property
    def netrc(self) -> str:
        """Those of URLs as a netrc file has them, which uv and pip read: by host."""
        hosts = {str(urlsplit(url).hostname): pair for url, pair in self.of.items() if "://" in url}
        lines = (
            f"machine {host} login {pair['username']} password {pair['password']}\n" for host, pair in hosts.items()
        )
        return "".join(lines)

    def write(self, folder: Path, seen: Path) -> dict[str, str]:
        """Write the file into a folder that a command sees at `seen`; returns the variables that the command needs."""
        if not self.of:
            return {}
        (folder / "netrc").write_text(self.netrc)
        return self.named | {"NETRC": str(seen / "netrc")}

    @contextlib.contextmanager
    def lent(self, place: Place) -> Iterator[Lent]:
        """What a unit of the build needs while one command runs in it."""
        if not self.of:
            yield Lent()
            return
        with place.secrets() as (home, seen):
            environment = self.write(home, seen)
            place.account.own(home)
            yield Lent(environment, [(home, seen)])

    def check(self, indexes: Sequence[Mapping[str, Any]], options: Sequence[str]) -> None:
        """Raise `ReleaseError` when a name is that of no index: neither of the project, nor of an option of uv."""
        there = [str(index["name"]) for index in indexes if "name" in index]
        there += [found[1] for option in options if (found := re.match(r"(?:--[a-z-]+=)?([\w.-]+)=\w+://", option))]
        unknown = [name for name in self.of if "://" not in name and name not in there]
        if unknown:
            raise ReleaseError(
                f"{VARIABLE}: pyproject.toml has no index named {', '.join(unknown)}; it has"
                f" {', '.join(there) or 'none'}. Use one of [[tool.uv.index]], or the URL of the index."
            )


NONE = Credentials()
