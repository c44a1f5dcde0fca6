# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the units of the roles may do, besides those of a release: what each has beside the common lines, and why."""

from __future__ import annotations

from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox import COMMON, LEAST
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE

# The system is there to be read, the homes of people are not.
_READ_ONLY = ("ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes")
_REFUSED = "SystemCallErrorNumber=EPERM"  # where a call is not simply the end of the process
_NO_RIGHTS = "CapabilityBoundingSet="
# Of a root that looks after files of other accounts and listens below port 1024.
_WRITES_AND_LISTENS = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_BIND_SERVICE"
_NETWORK = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"


def standby() -> list[str]:
    """Of what answers while no release does: it asks systemd about units, and speaks to who is connected already."""
    return [*COMMON, *_READ_ONLY, _NO_RIGHTS, "PrivateNetwork=yes", _NETWORK, _REFUSED]


def trigger() -> list[str]:
    """Of what records how a socket was made: it runs as root, reads one file and writes another."""
    return [
        *COMMON,
        *_READ_ONLY,
        "ReadWritePaths=/run",
        "ProtectProc=invisible",
        "PrivateIPC=yes",
        "PrivateNetwork=yes",
        _NO_RIGHTS,
        "RestrictAddressFamilies=AF_UNIX",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=~@privileged @resources",
        _REFUSED,
        "UMask=0077",
    ]


def sentinel() -> list[str]:
    """Of Redis Sentinel: as Debian's unit of Redis."""
    return [
        *COMMON,
        *_READ_ONLY,
        "ProtectProc=invisible",
        "RemoveIPC=yes",
        _NO_RIGHTS,
        _NETWORK,
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=~@privileged @resources",
    ]


def keepalived() -> list[str]:
    """Of keepalived: it holds an address, speaks VRRP, and ends a script of nobody that is late."""
    return [
        *COMMON,
        *_READ_ONLY,
        # The numbers of its processes.
        "ReadWritePaths=/run",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SETUID CAP_SETGID CAP_KILL",
        f"{_NETWORK} AF_NETLINK AF_PACKET",
        "MemoryDenyWriteExecute=yes",
        # Not @privileged as well, which has what makes a process that of nobody.
        "SystemCallFilter=~@chown @keyring @memlock @resources",
        _REFUSED,
        "UMask=0077",
    ]


def exporter() -> list[str]:
    """Of the Prometheus exporter: it reads one address and writes nothing."""
    return [*LEAST, *_READ_ONLY, _NO_RIGHTS, "RestrictAddressFamilies=AF_INET AF_INET6"]


def nginx(*, shared: bool, reads_homes: bool, reads_tmp: bool, schedules: bool) -> list[str]:
    """Of Nginx; sites of others, if it is `shared`, keep files and logs where they like, below /home and /usr too."""
    alone = [
        "ProtectSystem=strict",
        # Where hosts keep logs, caches and sites.
        "ReadWritePaths=/run /var -/srv -/opt -/mnt -/media",
        f"ProtectHome={'read-only' if reads_homes else 'yes'}",
        *([] if reads_tmp else ["PrivateTmp=yes"]),
        "PrivateIPC=yes",
        "PrivateMounts=yes",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "KeyringMode=private",
        *([] if schedules else ["SystemCallFilter=~@resources"]),
    ]
    return [
        *COMMON,
        *([] if shared else alone),
        f"CapabilityBoundingSet={_WRITES_AND_LISTENS} CAP_KILL CAP_SETGID CAP_SETUID",
        _NETWORK,
        _REFUSED,
    ]


def certificates(*, shared: bool) -> list[str]:
    """Of what renews certificates, as root, with certbot.

    It writes certificates and challenges, tests Nginx (which opens its logs and its ports, and looks after its folders)
    and has systemd reload it. Sites of others keep their logs where they like.
    """
    logs = "-/var/lib/nginx -/var/log/nginx -/var/log/letsencrypt -/var/lib/letsencrypt"
    return [
        *COMMON,
        *(["ProtectSystem=full"] if shared else ["ProtectSystem=strict", "ProtectHome=read-only"]),
        "ReadWritePaths=/etc/ssl/sites /run",
        f"ReadWritePaths=-/{STATE} -/var/www/acme {logs}",
        "ProtectProc=invisible",
        "PrivateTmp=yes",
        "PrivateIPC=yes",
        f"CapabilityBoundingSet={_WRITES_AND_LISTENS}",
        _NETWORK,
        "KeyringMode=private",
        "SystemCallFilter=~@privileged @resources",
        # Which is among the privileged ones.
        "SystemCallFilter=@chown",
        _REFUSED,
    ]
