# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts and stops the probe of an app on a load balancer, and puts together what it has seen.

The probe is a transient unit that ends by itself, so a killed play leaves nothing behind; the next probe replaces it.
"""

from __future__ import annotations

import inspect
import json
import math
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._deploy import page_assets, probing_client
from ansible_collections.production.fastapi.plugins.module_utils._deploy.percentiles import BUCKET, percentile
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._nginx.access_log import rejected_assets

MOST_FAILURES = 1000
FIRST_ANSWER_WITHIN = 5.0

# Nothing but the network and its own output, and little of the host.
SANDBOX = (
    "DynamicUser=yes",
    "CapabilityBoundingSet=",
    "PrivateDevices=yes",
    "ProtectHome=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "SystemCallFilter=@system-service",
    "MemoryMax=256M",
    "TasksMax=16",
    "LimitNOFILE=8192",
)


class ProbeError(Exception):
    """The message is for a person."""


@dataclass(frozen=True)
class Probe:
    """The probe of one app on this host."""

    name: str
    host: Host = field(default_factory=Host)

    @property
    def unit(self) -> str:
        """The transient unit."""
        return f"production.fastapi-probe-{self.name}.service"

    @property
    def folder(self) -> Path:
        """What the probe reads and writes; in memory, so gone after a reboot."""
        return self.host.at(f"/run/production.fastapi/probe-{self.name}")

    def start(self, target: dict[str, Any], rate: int, seconds: int) -> Request | None:
        """Begin to ask, in place of a probe that an earlier run left; returns the first request, if it ends soon.

        `target` has the fields of probing_client.Target. Raises ProbeError when systemd does not start the unit.
        """
        self._remove()
        self.folder.mkdir(parents=True)
        self.folder.parent.chmod(0o755)  # a run with a strict umask may have made it
        self.folder.chmod(0o711)
        program = self.folder / "client.py"
        program.write_text(inspect.getsource(probing_client), encoding="utf-8")
        program.chmod(0o644)
        about = {"domain": target["domain"], "path": target["path"], "rate": rate}
        (self.folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
        words = client_arguments(target, rate, seconds)
        self._run_unit([sys.executable, "-I", "-B", str(program), *words], target["timeout"], seconds)
        first = self._first(target["timeout"])
        if first and first.served:
            page = {"target": target, "paths": page_assets.served_assets(probing_client.Target(**target))}
            (self.folder / "page.json").write_text(json.dumps(page), encoding="utf-8")
        return first

    def stop(self, events: Sequence[dict[str, Any]] = (), ahead: float = 0) -> dict[str, Any]:
        """End the probe, remove it, and return what it has seen; empty when there was none.

        `events` are the steps of the deploy by a clock that is `ahead` seconds ahead of this host's.
        Raises ProbeError when it cannot be stopped.
        """
        if not self.folder.is_dir():
            return {}
        complete = self.host.systemctl("is-active", self.unit)[0]
        self._stop()
        seen = {
            **json.loads(self._text("about.json") or "{}"),
            "complete": complete,
            **summarise(self._text("requests").splitlines()),
            "events": [{"name": event["name"], "at": round(event["at"] - ahead, 3)} for event in events],
            "assets": self._assets(),
        }
        if seen.get("began"):
            now = time.time()
            seen["rejected"] = rejected_assets(self.host.root, now - seen["began"], now)
        self._remove()
        return seen

    def _assets(self) -> dict[str, str]:
        """How the files of the page before the deploy are answered now, a status each."""
        page = json.loads(self._text("page.json") or "{}")
        return page_assets.statuses(probing_client.Target(**page["target"]), page["paths"]) if page else {}

    def _text(self, name: str) -> str:
        file = self.folder / name
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""

    def _stop(self) -> None:
        self.host.systemctl("stop", self.unit)
        if self.host.systemctl("is-active", self.unit)[0]:
            raise ProbeError(f"{self.unit} does not stop: look at it with systemctl status {self.unit}.")

    def _remove(self) -> None:
        if not self.folder.exists():
            return  # it is made before the unit and goes after it
        self._stop()
        self.host.systemctl("reset-failed", self.unit)
        shutil.rmtree(self.folder)

    def _run_unit(self, command: Sequence[str], timeout: float, seconds: int) -> None:
        """Have systemd run the command for so many seconds, and as long again as its last request may take."""
        properties = [
            *SANDBOX,
            f"RuntimeMaxSec={seconds + math.ceil(timeout) + 5}",
            f"TimeoutStopSec={math.ceil(timeout) + 5}",
            # systemd opens it, so the program itself may write nowhere.
            f"StandardOutput=append:{self.folder / 'requests'}",
        ]
        options = [f"--property={value}" for value in properties]
        description = f"--description=Asks {self.name} through Nginx while a release is deployed"
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            ["systemd-run", "--quiet", "--collect", f"--unit={self.unit}", description, *options, "--", *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise ProbeError(f"The probe of {self.name} did not start: {done.stderr.strip() or done.stdout.strip()}")

    def _first(self, timeout: float) -> Request | None:
        """The first request; None when it does not end within five seconds."""
        deadline = time.monotonic() + min(timeout + 1, FIRST_ANSWER_WITHIN)
        while time.monotonic() < deadline:
            lines = self._text("requests").splitlines()
            if lines:
                return Request.of(lines[0])
            time.sleep(0.02)
        if not self.host.systemctl("is-active", self.unit)[0]:
            raise ProbeError(f"The probe of {self.name} ended at once: look at journalctl --unit {self.unit}.")
        return None


def client_arguments(target: dict[str, Any], rate: int, seconds: int) -> list[str]:
    """The command line of probing_client for a target."""
    plain = {name: target[name] for name in ("address", "port", "domain", "path", "timeout", "header")}
    words = [f"--{name}={value}" for name, value in {**plain, "rate": rate, "seconds": seconds}.items()]
    words += [f"--{name.replace('_', '-')}" for name in ("verify", "proxy_protocol") if target.get(name)]
    return words + ([f"--ca-file={target['ca_file']}"] if target.get("ca_file") else [])


@dataclass(frozen=True)
class Request:
    """A line of the client."""

    began: float  # seconds, monotonic
    wall: float  # seconds since 1970
    ms: float
    kind: str
    again: bool
    release: str

    @classmethod
    def of(cls, line: str) -> Request:
        """Read a line; raises ValueError when it is not one."""
        began, wall, ms, kind, again, release = line.split(" ")
        name = "" if release == "-" else release
        return cls(float(began), float(wall), float(ms), kind, again == "again", name)

    @property
    def limited(self) -> bool:
        """Whether Nginx has refused it by a rate limit, so that the app was never asked.

        Nginx knows the probe and does not limit it, unless it was configured by a version that did not know it yet.
        """
        return probing_client.is_limited(self.kind, self.release)

    @property
    def failed(self) -> bool:
        """No answer, one that says that the server is at fault, or one that is not the app's."""
        if self.limited:
            return False
        return not self.kind.isdigit() or int(self.kind) >= 500 or not self.release

    @property
    def served(self) -> bool:
        """Whether it was the app that answered, and not with a fault of the server."""
        return not self.failed and not self.limited


def requests_of(lines: Iterable[str]) -> list[Request]:
    """The requests in the order in which they began; a line that a kill cut off is left out."""
    found = []
    for line in lines:
        try:
            found.append(Request.of(line))
        except ValueError:
            continue
    return sorted(found, key=lambda request: request.began)


def summarise(lines: Iterable[str]) -> dict[str, Any]:
    """What the module returns as `probe`, of the lines of the client; its documentation has the parts.

    Places in time follow the monotonic clock, so that a wall clock that is set meanwhile moves nothing.
    """
    every = requests_of(lines)
    requests = [request for request in every if not request.limited]
    limited = len(every) - len(requests)
    if not requests:
        return {"requests": 0, "failed": 0, "limited": limited}
    first = requests[0]
    shift = first.wall - first.began
    releases = list(dict.fromkeys(request.release for request in requests))
    buckets: dict[int, list[Request]] = {}
    for request in requests:
        buckets.setdefault(int((request.began - first.began) / BUCKET), []).append(request)
    ordered = sorted(request.ms for request in requests)
    failures = [request for request in requests if request.failed]
    return {
        "began": round(first.wall, 3),
        "seconds": round(max(request.began + request.ms / 1000 for request in requests) - first.began, 3),
        "requests": len(requests),
        "failed": len(failures),
        "limited": limited,
        "again": sum(request.again for request in requests),
        "kinds": dict(sorted(Counter(request.kind for request in requests).items())),
        "failed_kinds": dict(sorted(Counter(request.kind for request in failures).items())),
        "p50_ms": percentile(ordered, 0.5),
        "p99_ms": percentile(ordered, 0.99),
        "longest_ms": ordered[-1],
        "releases": releases,
        "buckets": [[index, *_bucket(inside, releases)] for index, inside in buckets.items()],
        "failures": [
            {
                "at": round(request.began + shift, 3),
                "ms": request.ms,
                "kind": request.kind,
                "release": request.release,
            }
            for request in failures[:MOST_FAILURES]
        ],
    }


def _bucket(requests: Sequence[Request], releases: Sequence[str]) -> tuple[int, list[int], list[float]]:
    counts = Counter(request.release for request in requests)
    failed = sum(request.failed for request in requests)
    return failed, [counts[release] for release in releases], [request.ms for request in requests]
