# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether ufw, where it is active, lets others reach the ports that the roles listen on. It is never changed by us."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.values import address as ip_address

PUBLIC = ("80", "443")
ANYWHERE = "0.0.0.0/0"


def firewall_problems(ufw: Mapping[str, Any], wanted: Sequence[tuple[str, str]], alone: bool) -> Iterator[str]:
    """A sentence for the ports that clients need, and one for those that other hosts need.

    `ufw` is what the module `readiness` has read, empty where ufw is not active; `wanted` are addresses with their
    ports; `alone` is whether the inventory has no other host.
    """
    if not ufw:
        return
    closed = [port for address, port in wanted if not is_loopback(address) and not is_open(ufw, port)]
    public = [port for port in closed if port in PUBLIC]
    if public:
        yield f"ufw is active and does not allow {named(public)}: `ufw allow {','.join(public)}/tcp`."
    inner = [port for port in closed if port not in PUBLIC]
    if inner and not alone:
        yield (
            f"ufw is active and does not allow {named(inner)}, which other hosts of the inventory need: for each of "
            f"them `ufw allow proto tcp from ADDRESS to any port {','.join(inner)}`."
        )


def named(ports: Sequence[str]) -> str:
    """The ports in words."""
    return f"{'ports' if ports[1:] else 'port'} {' and '.join(ports)}"


def is_loopback(address: str) -> bool:
    """Whether an address can only be reached from the host itself."""
    known = ip_address(address)
    return known is not None and known.is_loopback


def is_open(ufw: Mapping[str, Any], port: str) -> bool:
    """Whether anybody may reach a TCP port: the first rule that is about it decides, then the policy.

    A rule is as in `/etc/ufw/user.rules`, such as `allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in`: action,
    protocol, ports, destination, ports and address of the source, and at its end the direction, with the interface.
    """
    for rule in ufw["rules"]:
        action, protocol, ports, destination, source_ports, source, *_apps, direction = strip_comment(rule)
        if protocol not in ("tcp", "any") or not covers(ports, port) or source_ports != "any":
            continue
        if action.startswith(("allow", "limit")):  # whom it lets in is the operator's choice
            return True
        if action.startswith(("deny", "reject")) and (destination, source, direction) == (ANYWHERE, ANYWHERE, "in"):
            return False
    return str(ufw["input"]).upper() == "ACCEPT"


def strip_comment(rule: str) -> list[str]:
    """The fields of a rule, without what the operator has noted."""
    return [field for field in rule.split() if not field.startswith("comment=")]


def covers(ports: str, port: str) -> bool:
    """Whether `any`, or a list of ports and of ranges `first:last`, has the port."""
    if ports == "any":
        return True
    for part in ports.split(","):
        first, _colon, last = part.partition(":")
        if int(first) <= int(port) <= int(last or first):
            return True
    return False
