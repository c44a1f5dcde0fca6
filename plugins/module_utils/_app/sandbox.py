# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What processes of an app may do, as lines of a systemd unit: those of a release, and those that build one.

The units of a release have the lines from here through the filter `sandbox`, and the import check of a build has the
same ones, because the first build comes before any unit exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE

# What no unit of the roles may do: gain rights, use devices, change the kernel or its modules.
LEAST = (
    "NoNewPrivileges=yes",
    "PrivateDevices=yes",
    "ProtectControlGroups=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "RestrictNamespaces=yes",
    # The first list decides whether the filter names what is allowed or what is refused, so all others come after it.
    "SystemCallFilter=@system-service",
)
# Nor what else is the system's own business; plugin_utils/unit_sandbox has what the roles' other units have besides.
COMMON = (
    *LEAST,
    "LockPersonality=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
)

# Neither more rights, nor other kinds of sockets.
_CONFINED = (
    *COMMON,
    "PrivateTmp=yes",
    "PrivateIPC=yes",
    "ProtectProc=invisible",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    # The last one is how a program asks for the addresses of its host.
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "KeyringMode=private",
    "SystemCallFilter=~@privileged @resources",
    # Without capabilities it only gives away what is one's own, and unpacking an archive needs it.
    "SystemCallFilter=@chown",
    "SystemCallErrorNumber=EPERM",
)

# Settings of an addition to the unit that make it a service rather than a sandbox.
_OF_A_SERVICE = re.compile(
    "(Exec|Restart|Timeout|Runtime|Watchdog|Kill|Standard|Syslog|FileDescriptor|Start|Environment).*"
    "|Type|User|Group|NotifyAccess|Sockets|PIDFile|GuessMainPID|RemainAfterExit|BusName|OOMPolicy|WorkingDirectory"
)


def service_sandbox(writable: Iterable[str], *, in_home: bool = False) -> list[str]:
    """The sandbox of a release's processes, which may write in the folders `writable` and in a /tmp of their own.

    An app `in_home` is one that lives below /home or /root, and has to stay readable.
    """
    return [
        "ProtectSystem=strict",
        # Some of the settings below would leave it writable.
        "ReadOnlyPaths=/run",
        *(f"ReadWritePaths=-{folder}" for folder in writable),
        f"ProtectHome={'read-only' if in_home else 'yes'}",
        *_CONFINED,
        "UMask=0027",
    ]


def additions(text: str) -> list[str]:
    """What an addition to a unit says about its sandbox: the settings under [Service] that are not of a service."""
    lines: list[str] = []
    section = "[Service]"
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        key, assigned, _value = line.partition("=")
        if line.startswith("["):
            section = line
        elif section == "[Service]" and assigned and not line.startswith(("#", ";")):
            lines += [] if _OF_A_SERVICE.fullmatch(key.strip()) else [line]
    return lines


def build_sandbox(
    writable: Sequence[tuple[Path, Path]] = (),
    readable: Sequence[tuple[Path, Path]] = (),
    *,
    programs: Sequence[Path] = (),
) -> list[str]:
    """The sandbox of what fetches or builds a release; pairs are a path on the host and where it is seen.

    Of /srv, /run and home directories nothing is there but these. With `programs`, no other file of the host can be
    executed: whatever a package brings along cannot run.
    """
    return [
        "ProtectSystem=strict",
        "TemporaryFileSystem=/srv:ro /run:ro /dev/shm:mode=1777",
        # How names are resolved, where systemd or NetworkManager does that.
        "BindReadOnlyPaths=-/run/systemd/resolve -/run/NetworkManager/resolv.conf",
        *(f"BindPaths={path}:{place}" for path, place in writable),
        *(f"BindReadOnlyPaths={path}:{place}" for path, place in readable),
        *(["NoExecPaths=/", f"ExecPaths={' '.join(map(str, programs))} /usr/lib -/lib64"] if programs else []),
        f"InaccessiblePaths=-/{STATE}",
        "ProtectHome=tmpfs",
        *_CONFINED,
        "UMask=0022",
        "LimitCORE=0",
        # Whatever a command has started ends with it, at once.
        "KillMode=control-group",
        "KillSignal=SIGKILL",
    ]
