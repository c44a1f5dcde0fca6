"""Code in a worker, in a dependency or in a build backend attacks: what others run stays, nothing leaks.

Short: two sources, once each on both hosts. LONG=1: four, four times each, so that there are thirty-two builds.
"""

import os
import shutil
import subprocess
import tarfile

import pytest
import testinfra
from asking import on
from plays import ROOT, play

NAMES = ("pf-source12", "pf-source13")
ATTACKS = ROOT / "molecule" / "shared" / "attacks"
LONG = bool(os.environ.get("LONG"))
CASES = ["git", "folder", "archive", "archive-url"] if LONG else ["folder", "git"]
ROUNDS = 4 if LONG else 1

# What the attackers look for has a second half that is in none of their programs.
HIDE = """
mkdir -p /srv/other/shared /etc/victim /etc/other
printf 's3cret-other-hunter2' | tee /etc/other/environment /srv/other/shared/file >/dev/null
printf 's3cret-key-hunter2' >/root/attack_key
touch /etc/victim/file
chmod 0640 /etc/other/environment
chmod 0750 /srv/other/shared
chmod 0600 /root/attack_key
"""
SERVE = (
    "systemctl is-active --quiet strangers || systemd-run --collect --unit=strangers"
    " python3 -m http.server --directory /opt/strangers --bind 127.0.0.1 8098"
)

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
    found = [testinfra.get_host(f"docker://{name}") for name in NAMES]
    for host in found:
        on(host, HIDE)
    return found


@pytest.fixture(scope="session")
def attack(hosts, tmp_path_factory):
    """`attack(kind, round)` deploys the attacking app as such a source."""

    def source_of(kind, number):
        folder = tmp_path_factory.mktemp(f"{kind}{number}") / "mallory"
        shutil.copytree(ATTACKS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "round.py").write_text(f'ROUND = "{kind}{number}"\n')
        if kind == "folder":
            return {"folder": str(folder)}
        packed = folder.parent / "mallory.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(folder, "mallory")
        if kind == "archive":
            return {"archive": str(packed)}
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        for words in (["init", "-qb", "main"], ["add", "."], [*identity, "commit", "-qm", "x"], ["update-server-info"]):
            subprocess.run(["git", *words], cwd=folder, check=True)
        for name, host in zip(NAMES, hosts, strict=True):
            on(host, "rm -rf /opt/strangers && mkdir /opt/strangers")
            for path in (folder / ".git", packed):
                subprocess.run(["docker", "cp", path, f"{name}:/opt/strangers/"], check=True, capture_output=True)
            on(host, "chmod -R a+rX /opt/strangers")
            on(host, SERVE)
        if kind == "archive-url":
            digest = subprocess.check_output(["sha256sum", packed], text=True).split()[0]
            url = "http://bot:s3cret-token-hunter2@127.0.0.1:8098/mallory.tar.gz"
            return {"archive": url, "checksum": f"sha256:{digest}"}
        url = "http://bot:s3cret-token-hunter2@127.0.0.1:8098/.git"
        return {"git": url, "version": "main", "key": "/root/attack_key"}

    def run(kind, number):
        return play(
            playbook=ROOT / "playbooks" / "deploy.yml",
            app_name="mallory",
            app_domains=["mallory.example.com"],
            app_public=False,
            app_source=source_of(kind, number),
            app_entrypoint="main:app",
            gunicorn_readiness_path="/",
        )

    return run


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_attackers_reach_nothing(hosts, attack, kind, number):
    before = [set(on(host, DIGEST).splitlines()) for host in hosts]
    for host in hosts:
        host.run("touch /srv/mallory/shared/go")
    attack(kind, number).succeeded()
    for host in hosts:
        on(host, "rm -f /srv/mallory/shared/go")
    harm = []
    for host, known in zip(hosts, before, strict=True):
        harm += [f"{what}: {line}" for what, command in HARM.items() for line in host.run(command).stdout.splitlines()]
        changed = known - set(on(host, DIGEST).splitlines())
        harm += [f"changed: {line}" for line in changed if not line.startswith(OURS)]
    assert harm == []
