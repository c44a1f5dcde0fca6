# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks through Nginx which release answers, until the right one has done so several times in a row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from ansible_collections.production.fastapi.plugins.module_utils._deploy.probing_client import (
    Prober,
    Target,
    is_limited,
    kind_of,
)

RETRY_INTERVAL = 0.2
# An Nginx of an older version limits us, too; its slowest limit lets one request through in this time (seconds).
LIMITED_INTERVAL = 1.0


def ask(target: Target) -> tuple[str, str]:
    """The status of one answer, or one word for why there was none; and the release that gave it, if it says so."""

    async def once() -> tuple[str, str]:
        async with asyncio.timeout(target.timeout):
            answer = await Prober(target).exchange(fresh=True)
            return str(answer.status), answer.release

    try:
        return asyncio.run(once())
    except Exception as error:
        return kind_of(error), ""


def problem_of(kind: str, release: str, wanted: Collection[str]) -> str:
    """What is wrong with an answer, as the end of a sentence; empty when it is good.

    Good is a status below 500 by one of the wanted releases, or by any release when `wanted` is empty.
    """
    if not kind.isdigit():
        return f"gave no answer ({kind})"
    if int(kind) >= 500:
        return f"answered {kind}"
    if not release:
        return f"answered {kind}, and no release of the app did"
    if wanted and release not in wanted:
        return f"answered by release {release}"
    return ""


def verify(target: Target, wanted: Collection[str], successes: int, within: float) -> str:
    """Ask until so many answers in a row are good; returns the last problem when they do not begin `within` seconds.

    An answer of Nginx's rate limit says nothing of the app, so it is neither good nor bad: the question is asked again,
    a second later.
    """
    deadline = time.monotonic() + within
    good = 0
    while good < successes:
        kind, release = ask(target)
        problem = problem_of(kind, release, wanted)
        if not problem:
            good += 1
            continue
        if time.monotonic() > deadline:
            return problem
        if is_limited(kind, release):
            time.sleep(LIMITED_INTERVAL)
            continue
        good = 0
        time.sleep(RETRY_INTERVAL)
    return ""
