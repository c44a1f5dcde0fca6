# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An archive at a URL as the source of a release.

The build account fetches it, in a unit of its own: root reads no word of a server, and the archive only when its
checksum is right.
"""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._host.masking import mask_url
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Settings, run
from ansible_collections.production.fastapi.plugins.module_utils._release.place import Place
from ansible_collections.production.fastapi.plugins.module_utils._release.rules import ReleaseError
from ansible_collections.production.fastapi.plugins.module_utils._release.tree import file_hash

# The one that the host has in any case.
PYTHON = "/usr/bin/python3"

# What `run` returns for a command that outlives its time.
TOO_LONG = 124


@contextlib.contextmanager
def fetched(url: str, checksum: str, place: Place, settings: Settings) -> Iterator[Path]:
    """The archive at `url`, for as long as this lasts; raises `ReleaseError` when it is not the one of `checksum`.

    The place's source must be an empty folder, and is one again.
    """
    with tempfile.TemporaryDirectory(dir=place.closed) as name:
        archive = Path(name) / "archive"
        _download(url, archive, place, settings)
        found = f"sha256:{file_hash(archive)}"
        if found != checksum:
            raise ReleaseError(f"app_source.checksum: the archive has {found}; write that if you trust it.")
        yield archive


def _download(url: str, archive: Path, place: Place, settings: Settings) -> None:
    # Not at the top, because no other source needs what it imports, which takes as long as half of the rest.
    from ansible_collections.production.fastapi.plugins.module_utils._release import archive_client  # noqa: PLC0415

    part = place.source / "archive"
    # The URL may have a password, so it is neither on a command line nor in the environment.
    with place.secrets() as (home, seen):
        (home / "url").write_text(url, encoding="utf-8")
        (home / "client.py").write_text(inspect.getsource(archive_client), encoding="utf-8")
        place.account.own(home)
        command: list[str | Path] = [PYTHON, "-I", seen / "client.py", seen / "url", part]
        code, output = run(command, place.fetching(home, seen, []), settings.environment(), folder=Path("/"))
    if code != 0:
        said = output.strip().splitlines() or ["it said nothing"]
        reason = "it took too long" if code == TOO_LONG else said[-1]
        raise ReleaseError(f"app_source.archive: {mask_url(url)} cannot be fetched: {reason}.", output)
    # Nobody reaches it there, and who wrote it has ended with the unit.
    place.outside(part).rename(archive)
    if archive.is_symlink() or not archive.is_file():
        raise ReleaseError(f"app_source.archive: {mask_url(url)} cannot be fetched: what came is not a file.")
