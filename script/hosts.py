#!/usr/bin/env python3
"""Test hosts: Debian servers with systemd in Docker containers, which one logs in to over SSH.

    hosts.py create FILE              start the hosts that standard input lists, and tell Molecule in FILE how to log in
    hosts.py destroy FILE             remove those hosts and their networks
    hosts.py start NAME IMAGE NETWORK [OPTION…]   start one host, with further options of `docker run`
    hosts.py network NAME SUBNET      make a network

A list is the JSON of `platforms` in a scenario's molecule.yml: name, image, address, network, subnet, and where they
are needed capabilities, names (of other hosts, with their addresses) and restart (Docker's restart policy).
Only Python's standard library and the programs docker and ssh-keygen are used.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KEY = ROOT / ".cache" / "ssh_key"
LABEL = "production-fastapi"
IMAGE = "production-fastapi/host"
# What a host needs to run systemd without being privileged.
OPTIONS = ["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--cgroupns=host"]
OPTIONS += ["--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec"]
# Docker brings /tmp. On a busy machine systemd could miss it, and mount another one over what a module has in it.
SYSTEMD = ["/lib/systemd/systemd", "systemd.mask=tmp.mount"]
STARTS_WITHIN = 120.0  # seconds; most of it is for a busy machine
# Wait for the SSH server, and let it accept the key on standard input.
ACCEPT = """
until systemctl is-active ssh; do sleep 0.2; done >/dev/null 2>&1
mkdir -p -m 700 /root/.ssh && cat >/root/.ssh/authorized_keys
"""
# What is needed here, and what brings it.
PROGRAMS = {"docker": "Docker (the package docker.io of Debian)", "ssh-keygen": "the package openssh-client"}


def run(*command: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command; a failure ends this program with what the command said."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        if check:
            sys.exit(f"There is no program {command[0]}; install {PROGRAMS.get(command[0], command[0])}.")
        return subprocess.CompletedProcess(command, 127, "", "")
    if check and done.returncode:
        sys.exit(f"'{' '.join(command[:4])} …' failed: {(done.stderr or done.stdout).strip()}")
    return done


def need_engine() -> None:
    """End this program with a sentence, unless a Docker engine answers."""
    run("docker", "--version")
    asked = run("docker", "version", check=False)
    if asked.returncode == 0:
        return
    where = os.environ.get("DOCKER_HOST", "/var/run/docker.sock")
    if "permission denied" in asked.stderr.lower():
        sys.exit(f"You may not use Docker at {where}: 'sudo usermod -aG docker $USER', then log in again.")
    sys.exit(f"No Docker engine answers at {where}: start it, such as by 'sudo systemctl start docker'.")


def build(image: str) -> None:
    """Build an image of a host, which takes a minute or two; root gets Docker and its engine by the way."""
    done = subprocess.run([ROOT / "script" / "image", image], capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        sys.exit(f"The image {image} was not built. Build it by 'script/image {image}', then go on. It said:\n{said}")


def exists(kind: str, name: str) -> bool:
    """Whether Docker has an object of this kind and name."""
    return run("docker", kind, "inspect", name, check=False).returncode == 0


def runs(name: str) -> bool:
    """Whether a host has not ended."""
    return run("docker", "inspect", "--format={{.State.Running}}", name, check=False).stdout.strip() == "true"


def mtu() -> str:
    """Return the packet size of this machine's own way out, in bytes: larger packets of hosts would be dropped."""
    try:
        routes = Path("/proc/net/route").read_text(encoding="ascii")
        (way_out,) = re.findall(r"^(\S+)\t00000000\t", routes, re.MULTILINE)[:1]
        return Path(f"/sys/class/net/{way_out}/mtu").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return "1500"


def network(name: str, subnet: str) -> None:
    """Make a network, unless it is there."""
    if not exists("network", name):
        option = f"--opt=com.docker.network.driver.mtu={mtu()}"
        run("docker", "network", "create", f"--label={LABEL}", f"--subnet={subnet}", option, name)


def key() -> str:
    """Return the public half of the key that all test hosts accept; the first call makes it, others wait for it."""
    KEY.parent.mkdir(exist_ok=True)
    with KEY.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (KEY.exists() and KEY.with_suffix(".pub").exists()):
            KEY.unlink(missing_ok=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", LABEL, "-f", str(KEY))
    return KEY.with_suffix(".pub").read_text(encoding="ascii")


def start(name: str, image: str, in_network: str, *options: str) -> None:
    """Start a host, new or stopped, and return when it accepts the key."""
    if exists("container", name):
        run("docker", "start", name)
    else:
        named = [f"--name={name}", f"--hostname={name}", f"--label={LABEL}", f"--network={in_network}"]
        run("docker", "run", "--detach", *named, *OPTIONS, *options, f"{IMAGE}:{image}", *SYSTEMD)
    # The host waits by itself: to ask it again and again from here takes several times the work.
    command = ["timeout", f"{STARTS_WITHIN:.0f}", "sh", "-c", ACCEPT]
    if run("docker", "exec", "--interactive", name, *command, check=False, stdin=key()).returncode == 0:
        return
    if not runs(name):
        sys.exit(
            f"{name} has ended as soon as it was started. With many hosts at the same time that is often the limit "
            "fs.inotify.max_user_instances: 'sysctl fs.inotify.max_user_instances=1024' raises it."
        )
    sys.exit(f"The SSH server of {name} did not start within {STARTS_WITHIN:.0f} s; see 'docker logs {name}'.")


def create(hosts: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Start these hosts, and return what Molecule has to know to log in to them."""
    for image in sorted({host["image"] for host in hosts}):
        if not exists("image", f"{IMAGE}:{image}"):
            build(image)
    for name, subnet in {(host["network"], host["subnet"]) for host in hosts}:
        network(name, subnet)
    key()
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(create_one, hosts))
    login = {"user": "root", "port": "22", "identity_file": str(KEY)}
    return [{"instance": host["name"], "address": host["address"], **login} for host in hosts]


def create_one(host: dict[str, Any]) -> None:
    """Start one host of a list."""
    options = [f"--ip={host['address']}", *(f"--cap-add={name}" for name in host.get("capabilities", []))]
    options += [f"--add-host={name}:{address}" for name, address in host.get("names", {}).items()]
    options += [f"--restart={host['restart']}"] if "restart" in host else []
    start(host["name"], host["image"], host["network"], *options)


def destroy(hosts: list[dict[str, Any]]) -> None:
    """Remove these hosts with their volumes, and the networks that nothing uses any more."""
    run("docker", "rm", "--force", "--volumes", *(host["name"] for host in hosts))
    for name in {host["network"] for host in hosts}:
        run("docker", "network", "rm", name, check=False)


def main() -> None:
    """Do what the command line says."""
    what, *arguments = sys.argv[1:] or [""]
    # Where Docker is that of this machine, building an image starts it or installs it for root.
    if what in {"create", "destroy"} and (what == "destroy" or os.geteuid() or "DOCKER_HOST" in os.environ):
        need_engine()
    if what == "create":
        Path(arguments[0]).write_text(json.dumps(create(json.load(sys.stdin))), encoding="utf-8")
    elif what == "destroy":
        destroy(json.load(sys.stdin))
        Path(arguments[0]).write_text("[]", encoding="utf-8")
    elif what == "start":
        start(*arguments)
    elif what == "network":
        network(*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
