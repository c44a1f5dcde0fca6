# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a server is: apps, certificates, resources, failed units, and the members that its Nginx passes requests to."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.background import Background
from ansible_collections.production.fastapi.plugins.module_utils._deploy.history import (
    History,
    last_live,
    left_by_failure,
)
from ansible_collections.production.fastapi.plugins.module_utils._deploy.listing import Releases
from ansible_collections.production.fastapi.plugins.module_utils._deploy.running import outdated
from ansible_collections.production.fastapi.plugins.module_utils._host.installed import (
    installed_apps,
    installed_sites,
    left_data,
)
from ansible_collections.production.fastapi.plugins.module_utils._host.reboot_reasons import reboot_reasons
from ansible_collections.production.fastapi.plugins.module_utils._host.state_folder import STATE
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._nginx.access_log import rejected_assets
from ansible_collections.production.fastapi.plugins.module_utils._nginx.tls_to_app import over_tls

CERTIFICATES = "etc/ssl/sites"
# What Nginx trusts of the servers of each site that speak TLS.
UPSTREAMS = "etc/nginx/production.fastapi/upstreams"
SERVICES = ("nginx", "redis-server", "keepalived")
DISKS = ("/", "/var", "/srv")
# Seconds of which rejected files are told.
RECENT = 3600
# A file of a transaction is a little older than the manifest that its transaction ends with.
TOUCHED_LATER = 2.0
PROPERTIES = "ActiveState,SubState,MainPID,NRestarts,ActiveEnterTimestamp,ActiveEnterTimestampMonotonic"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        """`timeout` is in seconds, for each step."""
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask_member(address: str, path: str, timeout: float, trusted: Path, site: str) -> dict[str, Any]:
    """What a member answers to GET `path`: `status`, `release`, `milliseconds`, and `error` where there is no answer.

    `address` is as Nginx writes it: `unix:/run/shop/http.sock` or `10.0.0.5:8000`; `timeout` is in seconds. It is asked
    over TLS where there is a file `trusted` with the certificates that it may show for the name of its `site`.
    """
    began = time.monotonic()
    kind, _unused, socket_path = address.partition("unix:")
    connection: http.client.HTTPConnection
    if socket_path and not kind:
        connection = UnixConnection(socket_path, timeout)
    else:
        host, _unused, port = address.rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    try:
        connection.connect()
        connection.sock = over_tls(connection.sock, trusted, site)
        connection.request("GET", path, headers={"Host": "localhost", "Connection": "close"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "release": "", "milliseconds": 0, "error": str(error) or type(error).__name__}
    finally:
        connection.close()
    took = round((time.monotonic() - began) * 1000, 1)
    return {"status": answer.status, "release": answer.getheader("X-Release", ""), "milliseconds": took, "error": ""}


def ask_members(
    sites: Mapping[str, Iterable[str]], path: str, timeout: float, upstreams: Path
) -> dict[str, dict[str, dict[str, Any]]]:
    """Ask all members of all sites at the same time, so that several that are away cost one time-out.

    The folder `upstreams` has NAME.pem for each site whose members speak TLS.
    """
    wanted = [(site, address) for site, addresses in sites.items() for address in dict.fromkeys(addresses)]

    def answer(member: tuple[str, str]) -> dict[str, Any]:
        site, address = member
        return ask_member(address, path, timeout, upstreams / f"{site}.pem", site)

    answers: dict[str, dict[str, dict[str, Any]]] = {site: {} for site in sites}
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(32, len(wanted)))) as pool:
        for (site, address), said in zip(wanted, pool.map(answer, wanted), strict=True):
            answers[site][address] = said
    return answers


def app_state(host: Host, name: str) -> dict[str, Any]:
    """The live release of an app, since when and by whom, and how its processes are."""
    releases = Releases(host, name, f"/srv/{name}")
    events = History(host.root, name).read()
    made_live = last_live(events).get(releases.live)
    manifest = host.root / STATE / f"gunicorn-{name}.json"
    unit = unit_state(host, f"{name}@{releases.live}.service") if releases.live else {}
    main = int(unit.get("MainPID", 0))
    return {
        "release": releases.live,
        "previous": releases.previous,
        "since": made_live.at if made_live else "",
        "by": made_live.by if made_live else "",
        "state": unit.get("ActiveState", "absent"),
        "workers": len(children(host.root, main)) if main else 0,
        "restarts": int(unit.get("NRestarts", 0)),
        "processes": process_states(host, name, releases.live),
        "outdated": outdated(host, name, releases.live) if releases.live else [],
        "interrupted": any(known.live and known.interrupted for known in releases.all),
        "configured_by": left_by_failure(events, manifest.stat().st_mtime) if manifest.is_file() else "",
    }


def process_states(host: Host, name: str, release: str) -> dict[str, dict[str, Any]]:
    """How the processes of a release beside its web server are: `state`, `restarts`, and `up`, in seconds."""
    background = Background(host, name)
    found = {}
    for process in background.wanted(release):
        unit = unit_state(host, background.unit(process))
        began = int(unit.get("ActiveEnterTimestampMonotonic") or 0) / 1_000_000
        found[process.name] = {
            "state": unit.get("ActiveState", "absent"),
            "restarts": int(unit.get("NRestarts", 0)),
            "up": round(time.monotonic() - began, 1),
        }
    return found


def unit_state(host: Host, unit: str) -> dict[str, str]:
    """The properties of a unit that tell how it is."""
    _unused, printed = host.systemctl("show", f"--property={PROPERTIES}", unit, timeout=10)
    return dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)


def children(root: Path, process: int) -> list[int]:
    """The processes that one has started and that still run."""
    with contextlib.suppress(OSError):
        return [int(pid) for pid in (root / f"proc/{process}/task/{process}/children").read_text().split()]
    return []


def holds(host: Host, address: str) -> bool:
    """Whether the server has an IPv4 address at this moment."""
    routes = (host.root / "proc/net/fib_trie").read_text()
    return re.search(rf"\|-- {re.escape(address)}\n +/32 host LOCAL$", routes, re.MULTILINE) is not None


def failed_units(host: Host) -> list[str]:
    """The units that systemd calls failed."""
    _unused, printed = host.systemctl("list-units", "--state=failed", "--plain", "--no-legend", timeout=10)
    return [line.split()[0] for line in printed.splitlines() if line.split() and "." in line.split()[0]]


def certificate_state(file: Path, now: float) -> dict[str, Any]:
    """Issuer, names, and days left of the first certificate in a file; `error` where it cannot be read."""
    try:
        decoded = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined]
    except (OSError, ssl.SSLError, ValueError) as error:
        return {"error": str(error), "days_left": 0, "days": 0, "issuer": "", "self_signed": False, "names": []}
    issuer = dict(pair for group in decoded.get("issuer", ()) for pair in group)
    begins, ends = (ssl.cert_time_to_seconds(decoded[key]) for key in ("notBefore", "notAfter"))
    return {
        "error": "",
        "days_left": round((ends - now) / 86400, 1),
        "days": round((ends - begins) / 86400, 1),
        "issuer": issuer.get("organizationName") or issuer.get("commonName", ""),
        "self_signed": decoded.get("issuer") == decoded.get("subject"),
        "names": [name for _unused, name in decoded.get("subjectAltName", ())],
    }


def certificates(root: Path, sites: Iterable[str], now: float) -> dict[str, dict[str, Any]]:
    """What Nginx shows for each site, and what it trusts of servers that speak TLS."""
    shown = {site: root / CERTIFICATES / site / "live/fullchain.pem" for site in sites}
    trusted = {f"{path.stem} (its servers)": path for path in sorted((root / UPSTREAMS).glob("*.pem"))}
    return {
        **{site: certificate_state(path, now) for site, path in shown.items() if path.parent.parent.is_dir()},
        # Nobody has to have signed it, since it is trusted by itself.
        **{name: certificate_state(path, now) | {"self_signed": False} for name, path in trusted.items()},
    }


def touched_by_hand(root: Path) -> list[str]:
    """Files of a role that were changed or removed since the run that wrote them."""
    found = []
    for manifest in sorted((root / STATE).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            written = manifest.stat().st_mtime + TOUCHED_LATER
            for path in json.loads(manifest.read_text()).get("files", {}):
                file = root / path.lstrip("/")
                if not os.path.lexists(file) or file.lstat().st_mtime > written:
                    found.append(path)
    return found


def disks(root: Path) -> list[dict[str, Any]]:
    """The file systems that hold `DISKS`, each once: what is free in MiB, and how full it is in percent."""
    found: dict[int, dict[str, Any]] = {}
    for path in DISKS:
        folder = root / path.lstrip("/")
        if folder.is_dir():
            usage = shutil.disk_usage(folder)
            used = round(100 * (1 - usage.free / usage.total)) if usage.total else 0
            found.setdefault(folder.stat().st_dev, {"path": path, "free_mb": usage.free // 2**20, "used_percent": used})
    return list(found.values())


def memory(root: Path) -> dict[str, int]:
    """All memory, and what new processes can have, in MiB."""
    lines = dict(re.findall(r"^(\w+): +(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE))
    return {
        "total_mb": int(lines.get("MemTotal", 0)) // 1024,
        "available_mb": int(lines.get("MemAvailable", 0)) // 1024,
    }


def server_state(
    host: Host,
    *,
    apps: Iterable[str],
    members: Mapping[str, Iterable[str]],
    path: str,
    timeout: float,
    asked_at: float,
    virtual: str = "",
) -> dict[str, Any]:
    """Everything that the module `server_state` returns."""
    now = time.time()
    waiting = reboot_reasons(host.root)
    return {
        "at": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "behind": round(asked_at - now, 3) if asked_at else 0.0,
        "uptime": float((host.root / "proc/uptime").read_text().split()[0]),
        "load": os.getloadavg()[0],
        "cpus": len(os.sched_getaffinity(0)),
        "memory": memory(host.root),
        "disks": disks(host.root),
        "reboot_required": bool(waiting),
        "reboot_reasons": waiting,
        "failed_units": failed_units(host),
        "touched": touched_by_hand(host.root),
        "installed": installed_apps(host.root),
        "served": {name: str(site.get("inventory", "")) for name, site in installed_sites(host.root).items()},
        "left": left_data(host.root),
        "apps": {name: app_state(host, name) for name in apps},
        "services": {name: unit_state(host, f"{name}.service").get("ActiveState", "absent") for name in SERVICES},
        "virtual": {virtual: holds(host, virtual)} if virtual else {},
        "certificates": certificates(host.root, members, now),
        "rejected": rejected_assets(host.root, RECENT, now) if members else {},
        "sites": ask_members(members, path, timeout, host.root / UPSTREAMS),
    }
