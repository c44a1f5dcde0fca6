# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that an app is given, for the import check of a build, which comes before the role gunicorn."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._app.files import files_folder
from ansible_collections.production.fastapi.plugins.module_utils._host.root_lock import private_folder
from ansible_collections.production.fastapi.plugins.module_utils._release.host import Account


@contextlib.contextmanager
def given_files(app: str, account: Account, files: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Where the app finds the files while this lasts, and the settings of its unit that show them to it there.

    Nothing of them stays on the host. Without files there is neither a folder nor a setting.
    """
    if not files:
        yield "", []
        return
    confined = account.name is not None
    with tempfile.TemporaryDirectory(prefix="files-", dir=private_folder() if confined else None) as name:
        folder = Path(name)
        for each, text in files.items():
            _write(folder / each, text, account)
        if confined:
            os.chown(folder, 0, account.gid)
        folder.chmod(0o750)
        place = Path(files_folder(app))
        yield (str(place), [f"BindReadOnlyPaths={folder}:{place}"]) if confined else (name, [])
        if confined:
            # systemd has made it to show something there; one that the role gunicorn has made is not empty.
            for left in (place, place.parent):
                with contextlib.suppress(OSError):
                    left.rmdir()


def _write(file: Path, text: str, account: Account) -> None:
    file.touch(mode=0o600)
    if account.name is not None:
        os.chown(file, 0, account.gid)
    file.chmod(0o640)
    file.write_text(text, encoding="utf-8", newline="")
