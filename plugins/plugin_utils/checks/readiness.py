# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host can be set up: ports, firewall, disk, memory, clock, apt. A sentence for each thing in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.production.fastapi.plugins.plugin_utils.checks.firewall import firewall_problems
from ansible_collections.production.fastapi.plugins.plugin_utils.redis import SENTINEL_PORT, redis_group

CLOCK = 5.0  # seconds
DISK = {"/": 500, "/var": 500, "/srv": 1000}  # MiB: packages, and a virtualenv for each release
MEMORY = 256  # MiB: a master, a worker that is about to start, and apt

# Who may hold the ports already: what the roles run, and systemd, which holds the socket of an app.
OURS = {"load_balancers": ("nginx",), "app_servers": ("systemd", "gunicorn"), "redis_servers": ("redis-server",)}
# The transaction that the role of a group ends with.
MANIFESTS = {"load_balancers": "nginx", "app_servers": "gunicorn-{app}", "redis_servers": "redis"}
# What a role of the group installs whatever its settings are.
PACKAGES = {
    "load_balancers": ("nginx", "openssl", "logrotate"),
    "app_servers": ("ca-certificates", "python3-pip-whl"),
    "redis_servers": ("redis-server",),
}

Groups = Mapping[str, Sequence[str]]


class Listener(NamedTuple):
    """Programs that share a socket that listens; the address is `*` for all of the host."""

    address: str
    port: str
    programs: tuple[str, ...]


class Wanted(NamedTuple):
    """A port that a role will listen on, and the programs that may hold it already."""

    address: str
    port: str
    programs: tuple[str, ...]


def is_set_up(facts: Mapping[str, Any], host: str, groups: Groups, app: str) -> bool:
    """Whether each role of the host's groups has ended there before."""
    managed = facts.get("managed", {})
    return all(
        manifest.format(app=app) in managed for group, manifest in MANIFESTS.items() if host in groups.get(group, ())
    )


def problems(
    seen: Mapping[str, Any], facts: Mapping[str, Any], host: str, groups: Groups, hostvars: Any
) -> Iterator[str]:
    """What is in the way on a host: `seen` is what the module `readiness` has returned, `facts` what `host_info` has.

    `seen.behind` are the seconds that the clock of the host is behind.
    """
    wanted = ports_of(host, groups, hostvars)
    yield from port_problems(listeners(seen["listening"]), wanted)
    alone = {other for group in OURS for other in groups.get(group, ())} <= {host}
    yield from firewall_problems(seen["ufw"], [(address, port) for address, port, _purpose in wanted], alone)
    yield from clock_problems(seen["behind"])
    for path, least in DISK.items():
        free = facts.get("disk_free_mb", {}).get(path, least)
        if free < least:
            yield f"{path} has {free} MiB of free space, and a first run needs {least}: remove something."
    free = facts.get("memory_available_mb") or MEMORY
    if free < MEMORY:
        yield f"{free} MiB of memory are available, and an app needs {MEMORY}: stop something, or use a larger host."
    groups_of = [group for group in PACKAGES if host in groups.get(group, ())]
    missing = [name for group in groups_of for name in PACKAGES[group] if name not in facts.get("packages", {})]
    if missing:
        yield from package_problems(seen)


def port_problems(listening: Sequence[Listener], wanted: Sequence[Wanted]) -> Iterator[str]:
    """The ports that another program holds, a sentence for each port."""
    told = set()
    for address, port, programs in wanted:
        for other in listening:
            same = port == other.port and ("*" in (address, other.address) or address == other.address)
            if same and not set(programs) & set(other.programs) and (port, other.programs) not in told:
                told.add((port, other.programs))
                program = other.programs[0]
                yield f"port {port} is taken by {program}: {how_to_free(program)}, or use another host."


def how_to_free(program: str) -> str:
    """What to do about a program, with the command where its unit is known; systemd holds ports for sockets."""
    if program == "systemd":
        return "stop the socket that `systemctl list-sockets` shows for it (`systemctl disable --now NAME.socket`)"
    known = {"apache2", "lighttpd", "caddy", "haproxy", "traefik", "varnishd", "nginx"}
    unit = {"varnishd": "varnish"}.get(program, program)
    command = f" (`systemctl disable --now {unit}`)" if program in known else ""
    return f"stop it and keep it from starting{command}"


def behind(clock: float, earliest: float, latest: float) -> float:
    """The seconds that a clock is behind this machine's, which has shown these times before and after it was read."""
    return earliest - clock if clock < earliest else min(0.0, latest - clock)


def clock_problems(behind: float) -> Iterator[str]:
    """A clock that is not this machine's, by so many seconds."""
    if abs(behind) > CLOCK:
        direction = "behind" if behind > 0 else "ahead of"
        yield (
            f"its clock is {abs(behind):.0f} s {direction} this machine's, and certificates depend on it: "
            "`apt-get install systemd-timesyncd`, or set it with `timedatectl`."
        )


def package_problems(seen: Mapping[str, Any]) -> Iterator[str]:
    """Why apt could not install what is missing."""
    if seen["interrupted"]:
        named = f" ({', '.join(seen['unfinished'][:4])})" if seen["unfinished"] else ""
        yield (
            f"dpkg was interrupted{named}, so apt installs nothing: `dpkg --configure -a`, then `apt-get "
            "--fix-broken install`."
        )
    for source, error in seen["sources"].items():
        yield (
            f"apt cannot read its source {source} ({error}): repair the source, or remove it from /etc/apt/sources.list"
            " and /etc/apt/sources.list.d."
        )


def listeners(text: str) -> list[Listener]:
    """What each line of `ss -Hltnp` says."""
    found = []
    for line in text.splitlines():
        columns, _users, users = line.partition("users:")
        if users:
            address, _colon, port = columns.split()[3].rpartition(":")
            # users:(("nginx",pid=7,fd=6),("nginx",pid=8,fd=6))
            found.append(Listener(plain(address), port, tuple(dict.fromkeys(users.split('"')[1::2]))))
    return found


def plain(address: str) -> str:
    """An address as `ss` or a setting has it, without brackets and zone; `*` for all of the host."""
    bare = address.strip("[]").partition("%")[0]
    return "*" if bare in ("0.0.0.0", "::", "*") else bare  # noqa: S104


def ports_of(host: str, groups: Groups, hostvars: Any) -> list[Wanted]:
    """What the roles will listen on at a host."""
    of_nginx = [Wanted("*", port, OURS["load_balancers"]) for port in ("80", "443")]
    wanted = of_nginx if host in groups.get("load_balancers", ()) else []
    for group, variable in (("app_servers", "gunicorn_bind"), ("redis_servers", "redis_bind")):
        address, colon, port = str(hostvars[host].get(variable, "")).rpartition(":")
        if host in groups.get(group, ()) and colon and address != "unix" and port.isdigit():
            wanted.append(Wanted(plain(address), port, OURS[group]))
    members = redis_group(groups, hostvars)
    if host in members and len(members) > 2:
        wanted.append(Wanted("*", str(SENTINEL_PORT), (*OURS["redis_servers"], "redis-sentinel")))
    return wanted
