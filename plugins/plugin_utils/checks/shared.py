# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with `app_shared`, the paths of a source that outlive its releases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks import values


def shared_problems(
    paths: Any, static: Sequence[Mapping[str, Any]] = (), folder: str = "", writable: Sequence[str] | None = None
) -> Iterator[str]:
    """One sentence for each problem of `app_shared`.

    `static` has the entries of app_static, `folder` is the shared folder of the app, and `writable` is
    gunicorn_writable_folders, if set.
    """
    if not isinstance(paths, list):
        yield "app_shared: write a list of paths in the source, such as [uploads, notes.db, data/]."
        return
    bad = [str(path) for path in paths if not is_path(path)]
    if bad:
        yield (
            f"app_shared: {', '.join(bad)} can be no path in the source; write one such as uploads, notes.db or data/,"
            " without / in front, spaces and ..."
        )
    good = [PurePosixPath(path) for path in paths if is_path(path)]
    for number, path in enumerate(good):
        for other in good[:number]:
            if path.is_relative_to(other) or other.is_relative_to(path):
                outer, inner = sorted((path, other), key=lambda each: len(each.parts))
                yield f"app_shared: {inner} is in {outer} already; remove it from the list."
    if paths and writable is not None and folder not in writable:
        yield f"app_shared: gunicorn_writable_folders has no {folder}, so the app could not write there; add it."
    for entry in static:
        served = str(entry.get("folder", "")).strip("/")
        for path in good:
            if served and PurePosixPath(served).is_relative_to(path):
                yield (
                    f"app_static: {served} is in app_shared, so no release has it; write shared: {served} instead of"
                    f" folder: {served}."
                )


def is_path(path: Any) -> bool:
    """Whether this is a path below some folder, without `.` and `..`; one of a folder may have / at its end."""
    parts = path.removesuffix("/").split("/") if isinstance(path, str) else [""]
    return None not in map(values.segment, parts)
