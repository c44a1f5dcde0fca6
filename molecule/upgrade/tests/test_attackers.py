"""The attackers of the scenario `sources`, which reach nothing there, on hosts of an earlier state: each one succeeds.

It shows that they attack. They come before the upgrade, and nothing of them is left.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from asking import on
from attacking import HIDE, attacker
from hello import NAMES
from plays import Result

# What the inventory says of the app hello.
WITHOUT: dict[str, Any] = {"app_processes": [], "app_jobs": [], "app_static": [], "app_environment": {}}
LOOT = "cd /srv/mallory; cat shared/loot-*-{0} releases/*/src/loot-*-{0} 2>/dev/null; true"
# Those that have left the sandbox go on, with an ear for nothing.
END = """
systemctl disable --now mallory.socket 'mallory@*' || true
pkill --signal KILL --euid mallory || true
systemctl reset-failed
rm --recursive --force /srv/mallory /etc/victim
"""


def test_each_attacker_succeeds_within_three_builds(
    hosts: list[Any], earlier: Callable[..., Result], tmp_path: Path
) -> None:
    found = dict(zip(NAMES, hosts, strict=True))
    try:
        for host in hosts:
            on(host, HIDE)
        for number, kind in enumerate(("folder", "archive", "git")):
            for host in hosts:
                host.run("touch /srv/mallory/shared/go")
            variables = attacker(tmp_path / str(number) / "mallory", kind, number, found)
            result = earlier("deploy" if number else "site", **variables, **WITHOUT)
        looks = {attack: LOOT.format(attack) for attack in ("proc_root", "escape", "cache", "locks", "secrets")}
        looks["swap"] = "find /etc/victim -user mallory"
        # One host is enough: who swaps a folder has to hit a moment, and does not on each.
        harm = {attack: "".join(on(host, look) for host in hosts) for attack, look in looks.items()}
    finally:
        for host in hosts:
            on(host, END)
    for attack, done in harm.items():
        print(f"{attack}: {len(done.splitlines())}, such as {done.splitlines()[:1]}")
    assert [attack for attack, done in harm.items() if not done] == [], result.output
