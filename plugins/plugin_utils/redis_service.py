# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has Redis and Sentinel take their configuration, and what shows that Redis answers."""

from __future__ import annotations

from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import endpoint

Command = dict[str, Any]

SOCKET = "/run/redis/redis-server.sock"

# Debian 13's systemd looks at the addresses of what runs only when it is told one.
ACCESS = (
    'for unit; do test -e "/etc/systemd/system/$unit.d/access.conf" && systemctl is-active --quiet "$unit" || '
    'continue; systemctl set-property --runtime "$unit" IPAddressDeny=any; '
    'rm -r "/run/systemd/system.control/$unit.d"; systemctl daemon-reload; done'
)
# Only a process that was started from other files: a restart forgets all, and one more app server is no reason for it.
# `restart` returns when Redis says that it accepts connections.
REDIS = (
    "systemctl is-active --quiet redis-server && sha256sum --check --status /run/redis/started || "
    "exec systemctl restart redis-server"
)
REDIS_HINT = (
    "`journalctl -u redis-server` says why; with redis_bind, often that the address is not one of this host or that "
    "another program holds the port."
)
# It holds nothing, so it is simply restarted, or forgotten where there is no group any more.
SENTINEL = (
    "if test -e /etc/systemd/system/redis-sentinel.service; then systemctl is-active --quiet redis-sentinel && "
    "sha256sum --check --status /run/redis-sentinel/started || exec systemctl restart redis-sentinel; "
    "elif test -e /var/lib/redis-sentinel; then systemctl stop redis-sentinel; rm -r /var/lib/redis-sentinel; fi"
)
SENTINEL_HINT = "`journalctl -u redis-sentinel` says why."


def appliers() -> list[Command]:
    """What has the processes take the files; each restarts only what was started from others."""
    return [
        {"command": "systemctl daemon-reload"},
        {"command": ["/bin/sh", "-c", ACCESS, "access", "redis-server.service", "redis-sentinel.service"]},
        {"command": ["/bin/sh", "-c", REDIS], "hint": REDIS_HINT},
        {"command": ["/bin/sh", "-c", SENTINEL], "hint": SENTINEL_HINT},
    ]


def verifiers(bind: str) -> list[Command]:
    """Whether Redis answers at its address, or at its socket; an answer that asks for the password is one too."""
    where = endpoint(bind)
    how = ["-h", str(where.address), "-p", str(where.port)] if where else ["-s", SOCKET]
    return [{"command": ["redis-cli", *how, "ping"]}]
