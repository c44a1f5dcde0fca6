"""Change one place of the package at a time, and see that a test fails for it.

    python tests/mutations/run.py [MODULE…]

It works in a copy with the Python that it was called with, that of `requirements-test.txt`. Prints a line for each
mutation, and ends with status 1 when a test suite did not notice one.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

SHOP = Path(__file__).parents[2]
SECONDS = 300


class Mutation(NamedTuple):
    """In `module`, `code` becomes `instead`; `test` is what has to fail then."""

    module: str
    code: str
    instead: str
    test: str


MUTATIONS = (
    Mutation("breaker_state", "generation + 1, now + lasts", "generation, now + lasts", "circuit_breaker_states"),
    Mutation("breaker_state", "generation + 1, now + lasts", "generation + 1, now", "circuit_breaker_states"),
    Mutation("circuit_breaker", "await asyncio.shield(asking)", "await asking", "circuit_breaker"),
    Mutation("circuit_breaker", "return  # whoever was cancelled waits for nothing", "pass", "circuit_breaker"),
    Mutation("circuit_breaker", "if breaker is self)", ")", "circuit_breaker"),
    Mutation(
        "circuit_breaker",
        "return self._left() if self._local.state is State.OPEN else 0.0",
        "return self._left()",
        "circuit_breaker",
    ),
    Mutation("bulkhead", "if self._places.locked():", "if self.in_use >= self.limit:", "bulkhead"),
    Mutation("shared", "await client.connection_pool.disconnect()", "pass", "shared"),
    Mutation("shared", "await self._ping(key)", "await self._ping()", "shared"),
    Mutation("shared", '.encode("utf-8", "surrogatepass")', ".encode()", "shared"),
    Mutation("context", "os.register_at_fork(after_in_child=self.renew)", "pass", "context"),
    Mutation("rate_limit", ">> 64 << 64", ">> 65 << 65", "rate_limit"),
    Mutation("rate_limit", "min(decision.reset, decision.policy.window)", "decision.reset", "rate_limit"),
    Mutation("errors", "max(1, math.ceil(refusal.retry_after))", "math.ceil(refusal.retry_after)", "rate_limit"),
    Mutation("errors", "addFilter(_says_something)", "isEnabledFor(0)", "rate_limit"),
    Mutation("client", "arrived = arrived or _may_have_arrived(error)", "arrived = _may_have_arrived(error)", "client"),
    Mutation("client", "if len(body) > self.max_answer:", "if False:", "client"),
    Mutation("client", 'response.extensions["attempts"] = number', "pass", "client"),
    Mutation("key_records", "redis.on_change.append(self._on_change)", "pass", "idempotency"),
    Mutation("key_records", "if claim.outcome is Outcome.CLAIMED:", "if False:", "idempotency"),
    Mutation("idempotency", "response.headers.getlist(name)", "response.headers.getlist(name)[:1]", "idempotency"),
    Mutation("retry", "random.uniform(1, 1 + policy.jitter)", "1", "retry"),
    Mutation("retry", "then if then.tzinfo else then.replace(tzinfo=UTC)", "then", "retry"),
    Mutation("database", "HEADSTART = 0.95", "HEADSTART = 1.5", "database"),
    Mutation("database", "else min(left, self.query_timeout)", "else self.query_timeout", "database"),
    Mutation("database", "pool_pre_ping=True", "pool_pre_ping=False", "database"),
    Mutation("database", "async with asyncio.timeout(self.pool_timeout):", "if True:", "database"),
    Mutation("database", "await session.invalidate()", "pass", "database"),
    Mutation("database", "if self.in_use < self.pool_size:", "if True:", "database"),
    Mutation("database", 'Depends(_session, scope="function")', "Depends(_session)", "database"),
    Mutation("database", "async with asyncio.timeout(FAREWELL):", "if True:", "database"),
    Mutation("database", "left is not None and left < self.query_timeout", "False", "database"),
    Mutation("deadline", "if not at_once:", "if False:", "deadline"),
    Mutation("deadline", "left <= alarms.seconds", "False", "deadline"),
    Mutation("metrics", "status = CLIENT_LEFT", "pass", "metrics"),
    Mutation("metrics", "return _mount(scope, route) + (path", "return (path", "metrics"),
)


def main(modules: list[str]) -> int:
    """Try those of the modules, or all; return how many were not noticed."""
    survived = 0
    with tempfile.TemporaryDirectory(prefix="mutations-") as name:
        copy = Path(name) / "shop"
        shutil.copytree(SHOP, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for mutation in MUTATIONS:
            if modules and mutation.module not in modules:
                continue
            noticed = notices(copy, mutation)
            survived += not noticed
            print(f"{'noticed' if noticed else 'SURVIVED'}  {mutation.module}: {mutation.instead}", flush=True)
    return survived


def notices(copy: Path, mutation: Mutation) -> bool:
    """Whether the test fails, or never ends, with the mutation."""
    path = copy / "upkeeper" / f"{mutation.module}.py"
    sound = path.read_text()
    assert sound.count(mutation.code) == 1, f"{mutation.module} has no single {mutation.code!r}: change MUTATIONS"
    path.write_text(sound.replace(mutation.code, mutation.instead))
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    try:
        ended = subprocess.run(
            [*command, f"tests/upkeeper/test_{mutation.test}.py"],
            check=False,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(sound)
    assert ended.returncode in (0, 1), ended.stdout.decode() + ended.stderr.decode()
    return ended.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
