"""Does all that is done to a cluster, and says how many requests of its clients failed meanwhile.

operations.py FOLDER NAME REQUESTS CLIENTS ADDRESS…

FOLDER has the inventories `all` and `without` and the source; the containers' names begin with NAME.
"""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "molecule/shared"))
from load import CLOSED, load  # noqa: E402

SITE = "hello.example.com"
ROW = "{:44} {:>8} {:>10} {:>8} {:>18} {:>10}"

folder, name, wanted, clients, *addresses = sys.argv[1:]
numbers = itertools.count(1)


def play(playbook: str, *arguments: str, inventory: str = "all") -> None:
    """Run a playbook; whatever it printed is shown when it fails."""
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [ansible, "--inventory", f"{folder}/{inventory}", playbook, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")


def book(playbook: str, **variables: object) -> None:
    """Run a playbook of the collection."""
    play(f"playbooks/{playbook}.yml", *(f"--extra-vars={key}={value}" for key, value in variables.items()))


def deploy() -> None:
    """Other code than before."""
    Path(folder, "source/edition.py").write_text(f'NAME = "{next(numbers)}"\n')
    book("deploy")


def drain_each() -> None:
    """One server after the other."""
    for server in ("app1", "app2", "app3"):
        book("drain", server=server, drain_timeout=10)
        book("undrain", server=server)


def join() -> None:
    """A server comes that has no release yet."""
    script = "systemctl stop hello.socket 'hello@*'; rm -rf /srv/hello/current /srv/hello/releases"
    subprocess.run(["docker", "exec", f"{name}-app3", "sh", "-c", script], check=True)
    play("site.yml")


OPERATIONS: dict[str, Callable[[], None]] = {
    "deploy": deploy,
    "rollback": lambda: book("rollback"),
    "drain and undrain each app server": drain_each,
    "upgrade and reboot each of the five": lambda: book("patch", reboot="always", drain_timeout=5),
    "an app server leaves": lambda: play("site.yml", "--limit", "load_balancers", inventory="without"),
    "an app server joins": join,
}


Path(folder, "source/edition.py").write_text('NAME = "0"\n')
play("site.yml")
print(ROW.format("", "seconds", "requests", "failed", "closed while idle", "longest s"), flush=True)
sent = failed = idle = 0
for number, (what, operation) in enumerate(itertools.cycle(OPERATIONS.items()), 1):
    began = time.monotonic()
    with ExitStack() as stack:
        loads = [stack.enter_context(load(f"{name}-client", SITE, *addresses)) for _ in range(int(clients))]
        operation()
    problems = [problem for each in loads for problem in each.failed]
    lost = [problem for problem in problems if not CLOSED.search(problem)]
    here = (sum(each.sent for each in loads), len(lost), len(problems) - len(lost))
    sent, failed, idle = sent + here[0], failed + here[1], idle + here[2]
    longest = max(each.longest for each in loads)
    print(ROW.format(what, f"{time.monotonic() - began:.0f}", *here, f"{longest:.2f}"), flush=True)
    for problem in sorted(set(lost)):
        print(f"    {lost.count(problem)} times {problem}", flush=True)
    if sent >= int(wanted) and number >= len(OPERATIONS):
        break
print(ROW.format("all", "", sent, failed, idle, ""))
sys.exit(failed > 0)
