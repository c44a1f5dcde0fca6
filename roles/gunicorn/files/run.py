"""Run a command in the environment of a release: run [--timeout SECONDS] [--job JOB] RELEASE COMMAND [ARGUMENT…]

Written by Ansible, role production.fastapi.gunicorn. RELEASE may be `current`, which is the live one.

The command has what the unit of the app gives the app: its user, sandbox, environment file, release.env and working
folder, with the virtualenv's programs first in PATH. Input, output and errors are the caller's, and it gets the exit
code: 124 when the time was over (600 s unless told), 255 when a signal ended it, 2 after a wrong call. All that the
command has started is ended with it. As a job it belongs to NAME.JOB.service and ends with that. Only root may run it.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NAME = Path(__file__).resolve().parent.name
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Seconds between SIGTERM and SIGKILL when the time is over.
GRACE = 10
TIMED_OUT = 124

# Settings of the unit that make it a service rather than an environment.
NOT_TAKEN = re.compile(
    "(Exec|Restart|Timeout|Runtime|Watchdog|Kill|Standard|Syslog|FileDescriptor|Start).*"
    "|Type|NotifyAccess|Sockets|PIDFile|GuessMainPID|RemainAfterExit|BusName|OOMPolicy|WorkingDirectory"
)


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="run", usage=(__doc__ or "").partition(": ")[2].partition("\n")[0])
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--job", default="")
    parser.add_argument("release")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    release = live_release() if given.release == "current" else given.release
    if not release:
        parser.error(f"no release of {NAME} is live")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", release):
        parser.error(f"{release} is not a name of a release")
    if not given.command or given.timeout <= 0:
        parser.error("name a command, and a time above 0")
    began = time.monotonic()
    code = subprocess.run(
        [*environment(release, given.timeout, given.job), *map(literal, given.command)], check=False
    ).returncode
    if code and time.monotonic() - began >= given.timeout:
        print(f"run: {given.command[0]} took longer than {given.timeout:g} s and was ended.", file=sys.stderr)
        return TIMED_OUT
    return code


def environment(release: str, timeout: float, job: str) -> list[str]:
    """The command that runs another one as the unit of the release would."""
    settings = list(unit_settings(release))
    program = next((shlex.split(value)[0] for key, value in settings if key == "ExecStart"), "")
    if not Path(program).exists():
        sys.exit(f"run: there is no release {release} of {NAME}.")
    folder = next((value.lstrip("-") for key, value in settings if key == "WorkingDirectory"), "/")
    described = Path(f"/srv/{NAME}/releases/{release}/release.env")
    if described.is_file():
        pairs = (word.partition("=") for word in shlex.split(described.read_text(), comments=True))
        folder = next((value for key, _unused, value in pairs if key == "PRODUCTION_FASTAPI_DIRECTORY"), folder)
    return [
        "systemd-run",
        "--quiet",
        "--pipe",
        "--wait",
        "--collect",
        *unit_name(job),
        f"--description={NAME}, release {release}: a command",
        f"--working-directory={folder}",
        f"--property=RuntimeMaxSec={timeout:g}",
        f"--property=TimeoutStopSec={GRACE}",
        f"--property=Environment=PATH={Path(program).parent}:{SYSTEM_PATH}",
        *(f"--property={key}={value}" for key, value in settings if not NOT_TAKEN.fullmatch(key)),
        "--",
        "/usr/bin/env",  # looks for the command in this PATH, where systemd-run would look in that of root
    ]


def unit_name(job: str) -> list[str]:
    """How the unit of the command is called; that of a job ends with the service that has called us."""
    if job:
        return [f"--unit={NAME}.{job}.run.service", f"--property=PartOf={NAME}.{job}.service"]
    return [f"--unit={NAME}.run-{os.getpid()}.service"]


def unit_settings(release: str) -> Iterator[tuple[str, str]]:
    """What the unit of the release has under [Service], drop-ins included, in order."""
    shown = subprocess.run(
        ["systemctl", "cat", f"{NAME}@{release}.service"], capture_output=True, text=True, check=True
    ).stdout
    specifiers = {"%i": release, "%%": "%"}
    section = ""
    for line in shown.replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[Service]" and not line.startswith(("#", ";")) and "=" in line:
            key, _unused, value = line.partition("=")
            yield key.strip(), re.sub("%[i%]", lambda found: specifiers[found[0]], value.strip())


def live_release() -> str:
    """The release that `current` names; of an app without releases the instance that runs, empty when none does."""
    link = Path(f"/srv/{NAME}/current")
    if link.is_symlink():
        return link.readlink().name
    listing = ["systemctl", "list-units", "--plain", "--no-legend", "--full", "--state=active", f"{NAME}@*.service"]
    units = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
    return units[0].removeprefix(f"{NAME}@").removesuffix(".service") if units else ""


def literal(word: str) -> str:
    """The word as systemd hands it on unchanged; it would put in variables."""
    return word.replace("$", "$$")


if __name__ == "__main__":
    sys.exit(main())
