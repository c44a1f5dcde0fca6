"""Runs tests for `run.py`, each time in a child of a process that has imported what takes long to import.

Reads lines of JSON, `[arguments of pytest, seconds]`; prints 'passed', 'failed' or 'late' for each.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import sys

import hypothesis
import pytest

# Of the package itself nothing: each child imports it as it is then.
SLOW = (
    "anyio.pytest_plugin",
    "fastapi.testclient",
    "httpx2",
    "redis.asyncio",
    "sqlalchemy.ext.asyncio",
    "structlog",
    "uvicorn",
)


def run(arguments: list[str], seconds: float) -> str:
    """Run pytest in a child, with a group of its own that ends with it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os._exit(pytest.main(arguments))
    process = os.pidfd_open(child)
    ended, _, _ = select.select([process], [], [], seconds)
    os.close(process)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return ("passed" if status == 0 else "failed") if ended else "late"


if __name__ == "__main__":
    # The first example that fails is enough, and the same ones are tried each time.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutations", phases=phases, derandomize=True, database=None)
    hypothesis.settings.load_profile("mutations")
    for name in SLOW:
        importlib.import_module(name)
    for line in sys.stdin:
        print(run(*json.loads(line)), flush=True)
