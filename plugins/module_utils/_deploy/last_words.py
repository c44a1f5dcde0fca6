# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lines that say why a command has failed. After the exception a database shows its query, or a program goes on."""

from __future__ import annotations

from collections.abc import Sequence

TRACEBACK = "Traceback (most recent call last):"


def last_words(lines: Sequence[str], most: int) -> list[str]:
    """The last lines, at most so many; the exception of the last traceback is the first of them if it stands before."""
    found = exception_of(lines)
    if found < 0 or found >= len(lines) - most:
        return list(lines[-most:])
    return [lines[found], "…", *lines[2 - most :]]


def exception_of(lines: Sequence[str]) -> int:
    """Which line names the exception of the last traceback; -1 where there is none."""
    began = max((number for number, line in enumerate(lines) if line.strip() == TRACEBACK), default=-1)
    if began < 0:
        return -1
    indent = lines[began][: -len(TRACEBACK)]
    after = range(began + 1, len(lines))
    return next((number for number in after if not lines[number].startswith(f"{indent} ")), -1)
