"""The app that attacks its host, as a source of any kind, and what its attackers look for on a host."""

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from asking import on
from plays import ROOT

ATTACKS = ROOT / "molecule" / "shared" / "attacks"

# What the attackers look for has a second half that is in none of their programs.
HIDE = """
mkdir -p /srv/other/shared /etc/victim /etc/other
printf 's3cret-other-hunter2' | tee /etc/other/environment /srv/other/shared/file >/dev/null
printf 's3cret-key-hunter2' >/root/attack_key
seq -f /etc/victim/%g 0 999 | xargs touch
chmod 0640 /etc/other/environment
chmod 0750 /srv/other/shared
chmod 0600 /root/attack_key
"""
SERVE = (
    "systemctl is-active --quiet strangers || systemd-run --collect --unit=strangers"
    " python3 -m http.server --directory /opt/strangers --bind 127.0.0.1 8098"
)
SERVED = "http://bot:s3cret-token-hunter2@127.0.0.1:8098"
HOW: dict[str, Any] = {
    "app_name": "mallory",
    "app_domains": ["mallory.example.com"],
    "app_public": False,
    "app_entrypoint": "main:app",
    "gunicorn_readiness_path": "/",
}


def attacker(folder: Path, kind: str, number: int, hosts: dict[str, Any]) -> dict[str, Any]:
    """Make the app in a new folder, different each time; returns the variables of a play that deploys it.

    What hosts fetch themselves is put there.
    """
    shutil.copytree(ATTACKS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "round.py").write_text(f'ROUND = "{kind}{number}"\n')
    # As many names as the folder of root's has that a link shall lead to.
    (folder / "swapped").mkdir()
    for name in range(1000):
        (folder / "swapped" / str(name)).touch()
    return HOW | _SOURCES[kind](folder, number, hosts)


def _folder(folder: Path, _number: int, _hosts: dict[str, Any]) -> dict[str, Any]:
    return {"app_source": {"folder": str(folder)}}


def _archive(folder: Path, _number: int, _hosts: dict[str, Any]) -> dict[str, Any]:
    return {"app_source": {"archive": str(_packed(folder, "mallory"))}}


def _archive_url(folder: Path, _number: int, hosts: dict[str, Any]) -> dict[str, Any]:
    packed = _packed(folder, "mallory")
    _bring(hosts, packed)
    checksum = "sha256:" + hashlib.sha256(packed.read_bytes()).hexdigest()
    return {"app_source": {"archive": f"{SERVED}/{packed.name}", "checksum": checksum}}


def _git(folder: Path, _number: int, hosts: dict[str, Any]) -> dict[str, Any]:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-qb", "main"], ["add", "."], [*identity, "commit", "-qm", "x"], ["update-server-info"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    _bring(hosts, folder / ".git")
    return {"app_source": {"git": f"{SERVED}/.git", "version": "main", "key": "/root/attack_key"}}


def _package(folder: Path, number: int, hosts: dict[str, Any]) -> dict[str, Any]:
    version = f"1.{number}"
    project = folder / "pyproject.toml"
    project.write_text(project.read_text().replace('version = "1.0"', f'version = "{version}"'))
    (folder / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: mallory\nVersion: {version}\n")
    _bring(hosts, _packed(folder, f"mallory-{version}"))
    options = ["--find-links", "/opt/strangers"]
    return {"app_source": {"package": "mallory", "version": version}, "app_install_options": options}


_SOURCES = {"folder": _folder, "archive": _archive, "archive-url": _archive_url, "git": _git, "package": _package}


def _packed(folder: Path, name: str) -> Path:
    """An archive of the app, beside it."""
    archive = folder.parent / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, name)
    return archive


def _bring(hosts: dict[str, Any], path: Path) -> None:
    """Put it on the hosts, where they serve it for themselves."""
    for name, host in hosts.items():
        on(host, "rm -rf /opt/strangers && mkdir /opt/strangers")
        subprocess.run(["docker", "cp", path, f"{name}:/opt/strangers/"], check=True, capture_output=True)
        on(host, "chmod -R a+rX /opt/strangers")
        on(host, SERVE)
