# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an app has printed, as people may see it: without the secrets of its environment and of its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.files import file_texts
from ansible_collections.production.fastapi.plugins.module_utils._deploy.last_words import last_words
from ansible_collections.production.fastapi.plugins.module_utils._host.masking import mask, secrets_of

# Enough to see why a command failed; the log has the rest.
LINES = 15
# The exit code of `run` for a command that has taken too long.
TIMED_OUT = 124


def masked(text: str, environment: Mapping[str, Any], files: Mapping[str, Any] | None = None) -> str:
    """The text without the secrets of this environment and of these files."""
    return mask(str(text), secrets_of([*environment.values(), *file_texts(files or {}).values()]))


def last_lines(ran: Mapping[str, Any], environment: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    """What says best why the command that `ran` has ended, to follow a sentence; empty where it printed nothing."""
    shown = masked(f"{ran['stdout']}\n{ran['stderr']}", environment, files)
    lines = [line for line in last_words(shown.splitlines(), LINES) if line]
    return "".join([" The last lines of what it printed:", *(f"\n  {line}" for line in lines)]) if lines else ""


def how_it_ended(ran: Mapping[str, Any], limit: float) -> str:
    """How the command that `ran` has ended, with a time limit in seconds."""
    if int(ran["rc"]) == TIMED_OUT:
        return f"took longer than {limit} s and was ended"
    return f"ended with exit code {ran['rc']}"
