"""Change one place of the package at a time, and see that a test fails for it.

    python tests/mutations/run.py PYTHON [MODULE…]

It runs with the tools of `script/mutations-requirements.txt`; PYTHON runs the tests, and is that of
`requirements-test.txt`. It works in a copy, prints a line for each module and for each mutant that no test noticed, and
ends with status 1 when fewer than 95 % were noticed.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import mutants

SHOP = Path(__file__).parents[2]
ENOUGH = 0.95
# Seconds for tests of which nothing is known yet.
LONGEST = 300

# The tests of each module, quickest first: the first that fails ends a run. Where nothing stands, test_MODULE.py; those
# of the defaults come last for all.
TESTS = {
    "answers": ("rate_limit", "context"),
    "breaker_state": ("circuit_breaker_states", "circuit_breaker"),
    "circuit_breaker": ("circuit_breaker", "circuit_breaker_states", "circuit_breaker_processes"),
    "deadline": ("deadline", "together"),
    "errors": ("errors", "rate_limit", "bulkhead"),
    "key_records": ("idempotency",),
    "limiter": ("rate_limit", "rate_limit_shared", "rate_limit_processes"),
    "metrics": ("metrics", "metrics_workers"),
    "rate_limit": ("rate_limit", "together"),
    "shared": ("shared", "rate_limit_shared", "shared_sentinel"),
    "sliding_window": ("rate_limit_window", "rate_limit"),
    "slots": ("slots", "metrics_workers"),
}


class Tally(NamedTuple):
    """How many mutants there were, and those that no test noticed."""

    tried: int
    unnoticed: list[mutants.Mutant]


class Suite:
    """The tests of one module in the copy. RuntimeError when they fail before anything was changed."""

    def __init__(self, tester: subprocess.Popen[str], copy: Path, module: str) -> None:
        self.module = module
        self.path = copy / "upkeeper" / f"{module}.py"
        self.sound = self.path.read_text()
        self._tester = tester
        names = (*TESTS.get(module, (module,)), "defaults")
        self._files = [f"tests/upkeeper/test_{name}.py" for name in names]
        self._seconds = LONGEST
        began = time.monotonic()
        if not self._pass():
            raise RuntimeError(f"{module}: its tests fail as it is; run pytest {' '.join(self._files)}")
        # A mutant may wait for ever, and a machine that is busy is slow: a single test may take as long as all of them.
        self._seconds = 10 + time.monotonic() - began

    def notices(self, mutant: mutants.Mutant) -> bool:
        """Whether a test fails, or never ends, with the mutant."""
        self.path.write_text(mutant.text)
        try:
            return not self._pass()
        finally:
            self.path.write_text(self.sound)

    def _pass(self) -> bool:
        each = ["-o", f"faulthandler_timeout={self._seconds:.0f}", "-o", "faulthandler_exit_on_timeout=true"]
        order = [["-q", "-x", "-p", "anyio", "-p", "no:cacheprovider", *each, *self._files], 3 * self._seconds]
        print(json.dumps(order), file=self._tester.stdin, flush=True)
        said = self._tester.stdout.readline().strip()
        if said not in ("passed", "failed", "late"):
            raise RuntimeError("tester.py has ended")
        return said == "passed"


def main(python: str, *chosen: str) -> int:
    """Try the mutants of those modules, or of all; return the status to end with."""
    command = [os.path.abspath(python), Path(__file__).with_name("tester.py")]  # noqa: PTH100 - a link has to stay one
    # Plugins take half of the time of a quick test; compiled files would be those of another mutant of the same second.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory(prefix="mutations-") as name:
        copy = Path(name) / "shop"
        shutil.copytree(SHOP, copy, ignore=shutil.ignore_patterns("__pycache__"))
        texts = {path.stem: path.read_text() for path in sorted((copy / "upkeeper").glob("[!_]*.py"))}
        outdated = [*mutants.stale(texts)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=copy, env=environment, **pipes) as tester:
            tallies = [_try(Suite(tester, copy, module)) for module in texts if not chosen or module in chosen]
    tried = sum(tally.tried for tally in tallies)
    unnoticed = [mutant for tally in tallies for mutant in tally.unnoticed]
    share = 1 - len(unnoticed) / tried
    print(*(f"NOT NOTICED {mutant}" for mutant in unnoticed), *outdated, sep="\n")
    print(f"{tried - len(unnoticed)} of {tried} mutants noticed: {share:.1%}, where {ENOUGH:.0%} are asked for")
    return int(share < ENOUGH or bool(outdated))


def _try(suite: Suite) -> Tally:
    began = time.monotonic()
    all_of_them = mutants.choose(suite.module, suite.sound)
    tally = Tally(len(all_of_them), [mutant for mutant in all_of_them if not suite.notices(mutant)])
    noticed = tally.tried - len(tally.unnoticed)
    print(f"{suite.module:16} {noticed} of {tally.tried} noticed ({time.monotonic() - began:.0f} s)", flush=True)
    for mutant in tally.unnoticed:
        print(f"    not noticed: {mutant}", flush=True)
    return tally


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
