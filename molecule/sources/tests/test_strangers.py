"""Code in a worker, in a dependency or in a build backend attacks: what others run stays, nothing leaks.

Short: two sources, once each on both hosts. LONG=1: five, three times each, so that there are thirty builds.
"""

import os

import pytest
from asking import on
from attacking import HIDE, attacker
from inside import host_in
from plays import DEPLOY, play

NAMES = ("pf-source12", "pf-source13")
LONG = bool(os.environ.get("LONG"))
CASES = ["git", "folder", "archive", "archive-url", "package"] if LONG else ["folder", "git"]
ROUNDS = 3 if LONG else 1

# Programs, configuration and releases of everybody else, and whatever root may run.
DIGEST = (
    "find /etc /opt /usr /srv/other -xdev -not -path '/etc/mallory*' -not -path '/etc/systemd/system/*'"
    " -not -path '/opt/strangers*' -not -path '/opt/production.fastapi*' -not -path '/usr/lib/git-core*'"
    " -type f -printf '%p %m %U %G %s\\n' | sort;"
    # What runs, or did and may again, to the byte.
    " find /srv/mallory/releases /opt/production.fastapi -type f -exec sha256sum {} + 2>/dev/null; true"
)
# What the first build changes: users, and Debian's packages.
OURS = ("/etc/ld.so.cache", *(f"/etc/{name}" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")))
HARM = {
    "what the attackers say": "cat /srv/mallory/shared/loot-* /srv/mallory/releases/*/src/loot-*",
    "files that they have planted": (
        "find /etc /opt /usr /srv /var/lib /run -xdev -name 'planted-by-*';"
        " grep --recursive --files-with-matches --binary-files=text 'planted-by-cache' /srv /opt; "
        " cat /srv/mallory/releases/*/src/escaped"
    ),
    "what belongs to them": (
        "find /etc /opt /usr /var/lib/production.fastapi /srv/other /srv/mallory/releases /srv/mallory/public"
        " -user mallory -o -user mallory_"
    ),
    "secrets in their files": "grep --recursive hunter2 /srv/mallory",
    "processes that are left of a build": "pgrep --list-full --euid mallory_",
}


@pytest.fixture(scope="session")
def hosts():
    found = [host_in(name) for name in NAMES]
    for host in found:
        on(host, HIDE)
    return found


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_attackers_reach_nothing(hosts, tmp_path, kind, number):
    before = [set(on(host, DIGEST).splitlines()) for host in hosts]
    for host in hosts:
        host.run("touch /srv/mallory/shared/go")
    found = dict(zip(NAMES, hosts, strict=True))
    play(playbook=DEPLOY, **attacker(tmp_path / "mallory", kind, number, found)).succeeded()
    for host in hosts:
        on(host, "rm -f /srv/mallory/shared/go")
    harm = []
    for host, known in zip(hosts, before, strict=True):
        harm += [f"{what}: {line}" for what, command in HARM.items() for line in host.run(command).stdout.splitlines()]
        changed = known - set(on(host, DIGEST).splitlines())
        harm += [f"changed: {line}" for line in changed if not line.startswith(OURS)]
    assert harm == []
