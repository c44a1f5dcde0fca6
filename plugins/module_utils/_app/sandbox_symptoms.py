# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an app that cannot start has met: its sandbox, its other workers, or a file too few; and the setting that helps.

`docs/how-to/troubleshooting.md` has the same as a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

_ERROR = re.compile(r"Error|Exception|Errno|errors\.|No usable sandbox|new namespace")
_REFUSED = r"(?:Read-only file system|Permission denied)"
_PATH = re.compile(_REFUSED + r":? ['\"](?P<path>[^'\"]+)['\"]")
_ABSENT = re.compile(r"No such file or directory: ['\"](?P<path>[^'\"]+)['\"]")
_IN_RELEASE = re.compile(r"/srv/[^/]+/(?:releases/[^/]+|current)/src/(?P<rest>.+)")


def advice(said: str, shared: str, below: str = "") -> str:
    """A sentence with the setting that helps; empty when no error in this log is of the kind, the last one first.

    `said` is the log of an app that did not start, and `shared` the folder in which it may write. The app runs in
    the folder `below` of its source.
    """
    for line in filter(_ERROR.search, reversed(said.splitlines())):
        for pattern, sentence in _RULES:
            if re.search(pattern, line):
                return sentence.format(shared=shared) if isinstance(sentence, str) else sentence(line, shared, below)
        if helps := _absent(line, below):
            return helps
    return ""


def _absent(said: str, below: str) -> str:
    """What to do about a file of the source that is not there; empty for any other."""
    found = _ABSENT.search(said)
    inside = _IN_RELEASE.fullmatch(found["path"]) if found else None
    if not found or (not inside and found["path"].startswith("/")):
        return ""
    named = PurePosixPath(inside["rest"] if inside else PurePosixPath(below) / found["path"])
    return (
        f"The source has no {named}: if git ignores it, name it in include of app_source; if it is secret, give it by"
        " app_files and link it by app_build; if the app makes it, name its folder in app_shared."
    )


def _write(said: str, shared: str, below: str) -> str:
    found = _PATH.search(said)
    only = f"The app can write only in {shared} and in /tmp;"
    if not found:
        return f"{only} name the paths of the source that it writes in app_shared."
    path = found["path"]
    inside = _IN_RELEASE.fullmatch(path)
    relative = PurePosixPath(inside["rest"] if inside else path)
    if relative.is_absolute():
        return (
            f"{only} let it save there, or set gunicorn_writable_folders: [{shared}, {relative.parent}], a folder that"
            " belongs to its user."
        )
    named = relative.parent if len(relative.parts) > 1 else relative
    named = named if inside else PurePosixPath(below) / named
    return f"{only} set app_shared: [{named}] to have {named} of the source there."


_DATABASE = (
    "The app can write only in {shared} and in /tmp; name the file of the database in app_shared, such as"
    " app_shared: [notes.db], or its folder."
)
_FAMILY = (
    "The sandbox has sockets of AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK; add another family by"
    ' gunicorn_unit_extra_config: "RestrictAddressFamilies=AF_PACKET".'
)
_NAMESPACE = (
    "The sandbox permits no namespaces, which the sandbox of a browser needs; start the browser without its"
    ' own, or set gunicorn_unit_extra_config: "RestrictNamespaces=no".'
)
_CALL = (
    "The sandbox refuses system calls that change the host or a priority; allow a group of them by"
    ' gunicorn_unit_extra_config, such as "SystemCallFilter=@resources".'
)
_TABLES = (
    "Several workers have made the same tables at the same moment; let app_migrate_command make them, which runs"
    ' once, or set gunicorn_workers: "1".'
)
_PORT = (
    "Each worker opens this port, and only the first can; do that in a process of app_processes, or set"
    ' gunicorn_workers: "1".'
)

_BEAT = (
    "The app can write only in {shared} and in /tmp; add -s {shared}/celerybeat-schedule to the command of Celery's"
    " beat in app_processes."
)
_RESOURCES = (
    "setuptools has no pkg_resources any more since its version 82, and what asks for it is older; add setuptools<82 to"
    " what the app depends on."
)

# The first that is found counts: a sentence, or what makes one of the line.
_RULES: tuple[tuple[str, str | Callable[[str, str, str], str]], ...] = (
    (r"unable to open database file|attempt to write a readonly database", _DATABASE),
    (r"Address family not supported by protocol", _FAMILY),
    (r"No usable sandbox|Failed to move to new namespace|unshare.*Operation not permitted", _NAMESPACE),
    (_REFUSED + r":? ['\"]celerybeat-schedule", _BEAT),
    (_REFUSED, _write),
    (r"Operation not permitted", _CALL),
    (
        r"(?i)(?:relation|table|type) \S+ already exists|DuplicateTable|pg_(?:type_typname|class_relname)_nsp_index",
        _TABLES,
    ),
    (r"Address already in use", _PORT),
    (r"No module named '?pkg_resources", _RESOURCES),
)
