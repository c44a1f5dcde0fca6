# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides what it takes to make a release live, and does it in an order in which somebody always serves.

A killed switch needs no journal: every step leaves a state that the next run completes, because all it goes by is read
from the host (which instances run, which is enabled, where the link points, what the processes were started from).
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.production.fastapi.plugins.module_utils._app.background import Background, Process
from ansible_collections.production.fastapi.plugins.module_utils._app.sandbox_symptoms import advice
from ansible_collections.production.fastapi.plugins.module_utils._deploy.history import (
    FAILED,
    LIVE,
    RELOADED,
    RESTARTED,
    TRIED,
    History,
)
from ansible_collections.production.fastapi.plugins.module_utils._deploy.locking import (
    DeployLock,
    LockError,
    in_the_way,
)
from ansible_collections.production.fastapi.plugins.module_utils._deploy.running import (
    State,
    SwitchError,
    alone,
    read_state,
)
from ansible_collections.production.fastapi.plugins.module_utils._host.memory import available_memory_mb, used_memory_mb
from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import Host
from ansible_collections.production.fastapi.plugins.module_utils._nginx.tls_to_app import over_tls

# The header by which the worker says whose answer it is; while two releases accept from one socket, nothing else does.
RELEASE_HEADER = "X-Release"
OBSERVE_INTERVAL = 0.25
RETRY_INTERVAL = 0.2
# Of a release that was neither ready nor has said why.
_LATE = "It may only need longer, as a large app on a busy server does: raise gunicorn_start_timeout."


@dataclass
class Switch:
    """One call of the module; the fields are its options."""

    host: Host
    name: str
    release: str = ""
    state: str = "live"
    current: str = ""
    health_path: str = ""
    health_successes: int = 3
    health_timeout: float = 10
    observe: float = 0
    start_timeout: int = 60
    watch: list[str] = field(default_factory=list)
    watch_reload: list[str] = field(default_factory=list)
    watch_socket: list[str] = field(default_factory=list)
    by: str = ""
    reason: str = ""
    deploy: str = ""
    lock_timeout: float = 900
    check_memory: bool = False
    trial: bool = False

    def look(self) -> dict[str, Any]:
        """What `run` would do now; changes nothing. Raises SwitchError when there is no memory to do it."""
        state = self._state()
        reasons = [f"asked to be {self.state}"] if self.state != "live" else self.reasons(state)
        self._check_memory(state)
        return {"changed": bool(reasons), "reasons": reasons, "live": state.live, "previous": state.live}

    def run(self) -> dict[str, Any]:
        """Make the release live, or reload or restart the live one.

        Raises SwitchError when that fails, with the release that was live before still serving.
        """
        with alone(self.host, self.name):
            state = self._state()
            previous = state.live
            reasons = self.reasons(state) if self.state == "live" else self._be_live(previous)
            done, drain = "", {}
            if reasons:
                self._check_paths()
                self._check_lock(previous)
                self._check_memory(state)
                done = self._bring_up(state, previous)
                if self.state == "live":
                    if self._state().running - {self.release}:
                        self._observe(previous)
                    self._hand_over(state, previous)
                    drain = self._settle(state)
                elif self.state == RESTARTED:
                    self._restart_processes(state)
            if problem := self.sick(successes=self.health_successes if reasons else 1):
                self._withdraw(problem, previous, changed=bool(reasons))
            if reasons and previous != self.release:
                self._remember(TRIED if self.trial else LIVE, previous, self.reason)
            elif done:
                self._remember(done, previous, self.reason or "; ".join(reasons))
            if reasons and self.deploy:
                # The old one may have taken long to drain, and the rest of the deploy takes its time as well.
                self._renew_lock("The release is live.", self.release)
        result = {"changed": bool(reasons), "reasons": reasons, "live": self.release, "previous": previous}
        return result | ({"drain": drain} if drain else {})

    def _be_live(self, live: str) -> list[str]:
        """Take the live release for the one that is meant, and say why there is something to do."""
        if not live:
            raise SwitchError(f"No release of {self.name} runs, so none can be {self.state}: make one live first.")
        self.release = live
        return [f"asked to be {self.state}"]

    def _remember(self, event: str, previous: str, reason: str) -> None:
        # A history that cannot be written, on a full disk say, must not undo a switch.
        with contextlib.suppress(OSError):
            History(self.host.root, self.name).add(event, self.release, previous=previous, by=self.by, reason=reason)

    def _unit(self, release: str, kind: str = "") -> str:
        return f"{self.name}{kind}@{release}.service"

    @property
    def _socket(self) -> str:
        return f"{self.name}.socket"

    # Reading

    def _state(self) -> State:
        return read_state(self.host, self.name, self.current)

    def reasons(self, state: State) -> list[str]:
        """Why there is something to do for the release to be live, a phrase each."""
        reasons = []
        if self.release not in state.running:
            reasons.append(f"release {self.release} does not run")
        else:
            for file in self._changed(self.watch, f"{self.release}.started"):
                reasons.append(f"{file} changed since release {self.release} started")
            for file in self._changed(self.watch_reload, f"{self.release}.reloaded"):
                reasons.append(f"{file} changed since release {self.release} read it")
        if not state.socket_active:
            reasons.append(f"{self._socket} is not active")
        else:
            reasons += [f"{file} changed since the socket opened" for file in self._changed_socket()]
        if self.release not in state.enabled:
            reasons.append(f"release {self.release} would not start with the host")
        if self.current and state.link != self.release:
            reasons.append(f"{self.current} points to {state.link or 'nothing'}")
        others = sorted((state.present | state.enabled) - {self.release})
        reasons += [f"release {other} is still there" for other in others]
        return reasons + self._background.reasons(state.background, self.release)

    @property
    def _background(self) -> Background:
        return Background(self.host, self.name)

    def _changed(self, files: list[str], record: str) -> list[str]:
        """The files whose sum is not the recorded one; one that is missing now and then has not changed."""
        known = self.host.recorded(f"/run/{self.name}/{record}")
        return [file for file in files if known.get(file, "") != self.host.digest(file)]

    def _changed_socket(self) -> list[str]:
        return self._changed(self.watch_socket, "socket.started")

    # Doing

    def _check_paths(self) -> None:
        if not self.current:
            return
        link = self.host.at(self.current)
        if link.exists() and not link.is_symlink():
            raise SwitchError(f"{self.current} is not a link: move it away, it has to point to the live release.")
        if not (link.parent / "releases" / self.release).is_dir():
            raise SwitchError(f"{link.parent}/releases/{self.release} does not exist: build the release first.")

    def _check_lock(self, live: str) -> None:
        """Refuse while somebody else deploys; the lock of the deploy that this is part of is renewed."""
        if self.deploy:
            self._renew_lock("Nothing was switched.", live)
        elif sentence := in_the_way(self.name, self.host.root):
            raise self._failure(f"Nothing was switched, because {sentence}", live, [])

    def _renew_lock(self, so_far: str, live: str) -> None:
        try:
            DeployLock(self.name, self.host.root).keep(self.deploy, self.lock_timeout)
        except LockError as error:
            raise self._failure(f"{so_far} {error}", live, []) from error

    def _check_memory(self, state: State) -> None:
        """Refuse to run two releases beside each other where the host has no memory for the second one."""
        if not self.check_memory or self.release in state.running or not state.live:
            return
        needed = used_memory_mb(self._processes(self._unit(state.live)), self.host.at("/proc"))
        available = available_memory_mb(self.host.at("/proc/meminfo"))
        if available < needed:
            raise SwitchError(
                f"The host has {available} MB of available memory, and in a switch two releases of {self.name} run"
                f" beside each other; the live one uses {needed} MB. Lower gunicorn_workers or stop something, or set"
                f" gunicorn_check_memory to false. Release {state.live} serves.",
                {"live": state.live, "log": []},
            )

    def _processes(self, unit: str) -> list[str]:
        group = self.host.systemctl("show", "--property=ControlGroup", "--value", unit)[1].strip()
        file = self.host.at(f"/sys/fs/cgroup{group}/cgroup.procs")
        return file.read_text().split() if group and file.is_file() else []

    def _bring_up(self, state: State, previous: str) -> str:
        """Get the instance of the release ready, with the files of now; returns which event that is, if it is one."""
        if self._socket not in self.host.starts_with("sockets.target"):
            self.host.systemctl("enable", "--no-reload", self._socket)
        # A process keeps the socket that it was given, so a closed or changed socket takes its processes along.
        socket_changed = not state.socket_active or bool(self._changed_socket())
        if self.release in state.running:
            started_from_other_files = bool(self._changed(self.watch, f"{self.release}.started"))
            if socket_changed or started_from_other_files or self.state == RESTARTED:
                self._try_beside()
                unit = self._socket if socket_changed else self._unit(self.release)
                self._start("restart", previous, unit)
                return RESTARTED
            if self._changed(self.watch_reload, f"{self.release}.reloaded") or self.state == RELOADED:
                self._reload()
                return RELOADED
            return ""
        if state.socket_active and socket_changed:
            self._try_beside()
            self.host.systemctl("restart", self._socket, timeout=self.start_timeout + 120)
        self._start("start", previous, self._unit(self.release))
        return LIVE

    def _try_beside(self) -> None:
        """Start the release with the files on disk, on a socket of its own; nobody is served by it."""
        unit = self._unit(self.release, ".check")
        began = time.time()
        ready, _unused = self.host.systemctl("start", unit, timeout=self.start_timeout + 60)
        log = [] if ready else self.host.log(unit, began)
        self.host.systemctl("stop", unit)
        self.host.systemctl("reset-failed", unit)
        if not ready:
            raise self._failure(
                f"Release {self.release} does not start with the configuration on disk; "
                "the process that runs keeps what it has, but would not come back after a restart.",
                self.release,
                log,
            )

    def _reload(self) -> None:
        began = time.time()
        unit = self._unit(self.release)
        done, _unused = self.host.systemctl("reload", unit, timeout=self.start_timeout + 60)
        if not done:
            check = self._unit(self.release, ".check")
            log = self.host.log(check, began)
            self.host.systemctl("reset-failed", check)
            raise self._failure(f"The reload of release {self.release} was refused.", self.release, log)

    def _start(self, verb: str, previous: str, unit: str) -> None:
        began = time.time()
        done, _unused = self.host.systemctl(verb, unit, timeout=self.start_timeout + 120)
        instance = self._unit(self.release)
        if done and unit != instance:  # a restarted socket takes its instances with it, but does not wait for them
            done, _unused = self.host.systemctl("start", instance, timeout=self.start_timeout + 60)
        if done:
            return
        log = self.host.log(instance, began)
        if verb == "start":
            self._discard(self.release)
        live = previous if verb == "start" else ""
        waited = time.time() - began >= self.start_timeout
        problem = f"was not ready after {self.start_timeout} s" if waited else "could not start"
        message = f"Release {self.release} {problem}."
        helps = _LATE if waited and not any("Not ready:" in line for line in log) else ""
        if verb == "start":
            raise self._refusal(message, previous, log, helps)
        raise self._failure(message, live, log, helps)

    def _observe(self, previous: str) -> None:
        """Watch the new instance beside the old one; both accept, so that the end of the new one is hardly felt.

        Raises SwitchError, with the old one untouched, when the new instance ends within `observe` seconds, or when the
        last answer that is known to be its own is bad and stays so for `health_timeout` seconds more.
        """
        unit = self._unit(self.release)
        began, life, problem = time.time(), self._life(unit), ""
        while True:
            watched = time.time() - began
            if self._life(unit) != life:
                problem = f"ended {watched:.0f} s after it was ready"
                break
            own = self._own_answer()
            problem = problem if own is None else own
            if watched >= self.observe and not problem:
                return
            if watched >= self.observe + self.health_timeout:
                break
            time.sleep(OBSERVE_INTERVAL)
        message = f"Release {self.release} was withdrawn: it {problem}; it was observed for {self.observe:g} s."
        log = self.host.log(unit, began - self.start_timeout)
        self._discard(self.release)
        raise self._refusal(message, previous, log)

    def _life(self, unit: str) -> str:
        """What changes when the unit's processes end or are restarted."""
        wanted = "--property=ActiveState,InvocationID,MainPID,NRestarts"
        return self.host.systemctl("show", wanted, unit)[1].replace("=reloading\n", "=active\n")

    def _own_answer(self) -> str | None:
        """What is wrong with the release's answer, empty when nothing is; None when this answer says nothing of it."""
        if not self.health_path:
            return None
        try:
            status, release = self._ask()
        except (OSError, http.client.HTTPException):
            return None
        if release != self.release:
            return None
        return "" if status < http.HTTPStatus.INTERNAL_SERVER_ERROR else f"answered {status} to {self.health_path}"

    def _hand_over(self, state: State, previous: str) -> None:
        """Let this release have the processes that the one before had, and watch them for `observe` seconds.

        Until now those of the one before went on; from here on they are stopped, so that no two releases work on one
        queue. Raises SwitchError when one ends; unless the release was live already, the one before is back then.
        """
        began = time.time()
        # Even if its web server did not run.
        was_live = self.release in {previous, state.link}
        started = self._background.hand_over(state.background, self.release)
        ended = self._watch(started if was_live else self._background.wanted(self.release))
        if ended is None:
            return
        log = self.host.log(self._background.unit(ended), began)
        if was_live:
            self._settle(state)
            raise self._failure(self._ended(ended).capitalize(), self.release, log)
        message = f"Release {self.release} was withdrawn: {self._ended(ended)}"
        self._hand_back(previous)
        self._discard(self.release)
        raise self._refusal(message, previous, log)

    def _watch(self, processes: list[Process]) -> Process | None:
        """The first process that ends while it is watched; where nothing is observed, none is."""
        return self._background.watch(processes, self.observe) if processes and self.observe else None

    def _hand_back(self, previous: str) -> None:
        """Let the release before, if there is one, have its processes and jobs again."""
        self._background.hand_over(self._state().background, previous)
        if self._background.settle(self._state().background, previous):
            self.host.systemctl("daemon-reload")

    def _restart_processes(self, state: State) -> None:
        began = time.time()
        started = self._background.hand_over(state.background, self.release, anew=True)
        if ended := self._watch(started):
            log = self.host.log(self._background.unit(ended), began)
            raise self._failure(self._ended(ended).capitalize(), self.release, log)

    @staticmethod
    def _ended(process: Process) -> str:
        return f"{process} ended; a process of app_processes must run until it is stopped."

    def _settle(self, state: State) -> dict[str, float]:
        """Make the release what a boot starts and what `current` names, and stop the others, which drain.

        Returns when these were told to stop and when they had ended, in seconds since 1970; nothing without any.
        """
        self._point(self.release)
        others = sorted((state.present | state.enabled) - {self.release})
        self.host.systemctl("enable", "--no-reload", self._unit(self.release))
        self._background.settle(state.background, self.release)
        for other in others:
            self.host.systemctl("disable", "--no-reload", self._unit(other))
        # Once for all of it. Before the others stop, because one that runs is what a killed switch is completed by.
        self.host.systemctl("daemon-reload")
        began = time.time()
        for other in others:
            self._end(other)
        return {"at": began, "until": time.time()} if others else {}

    def _discard(self, release: str) -> None:
        unit = self._unit(release)
        if unit in self.host.starts_with("multi-user.target"):
            self.host.systemctl("disable", unit)
        self._end(release)

    def _end(self, release: str) -> None:
        unit = self._unit(release)
        self.host.systemctl("stop", unit, timeout=3700)
        self.host.systemctl("reset-failed", unit)

    def _point(self, release: str) -> None:
        """Let `current` point to a release, or to nothing, in one step."""
        if not self.current:
            return
        link = self.host.at(self.current)
        links = [link]
        # What Nginx serves itself turns with it.
        if (link.parent / "public" / "releases").is_dir():
            links.append(link.parent / "public" / link.name)
        for each in links:
            if not release:
                each.unlink(missing_ok=True)
                continue
            new = each.with_name(f".{each.name}.new")
            new.unlink(missing_ok=True)
            new.symlink_to(f"releases/{release}")
            new.replace(each)

    def _withdraw(self, status: str, previous: str, *, changed: bool) -> None:
        """Go back to the release before, because this one does not answer over the socket; raises always."""
        message = f"Release {self.release} is ready, but {self.health_path} {status} over {self._socket}."
        log = self.host.log(self._unit(self.release), time.time() - 60)
        if not changed or previous == self.release:
            raise self._failure(f"{message} It was left as it is.", self.release, log)
        if previous:
            done, _unused = self.host.systemctl("start", self._unit(previous), timeout=self.start_timeout + 60)
            if not done:
                raise self._failure(f"{message} Release {previous} did not start again either.", self.release, log)
            self._point(previous)
            self.host.systemctl("enable", self._unit(previous))
        else:
            self._point("")
        self._hand_back(previous)
        self._discard(self.release)
        raise self._refusal(message, previous, log)

    def _refusal(self, message: str, previous: str, log: list[str], helps: str = "") -> SwitchError:
        """Record that the release has failed, and return the failure; the one before serves."""
        self._remember(FAILED, previous, message)
        failure = self._failure(message, previous, log, helps)
        failure.result["refused"] = self.release
        return failure

    def _failure(self, message: str, live: str, log: list[str], helps: str = "") -> SwitchError:
        serving = f"Release {live} serves." if live else "No release serves."
        lines = "".join(f"\n  {line}" for line in log)
        said = f" The last lines of its log:{lines}" if log else " Its log is empty."
        helps = advice("\n".join(log), f"/srv/{self.name}/shared", self._below()) or helps
        said += f"\n{helps}" if helps else ""
        return SwitchError(f"{message} {serving}{said}", {"live": live, "log": log})

    def _below(self) -> str:
        """The folder of its source in which the release runs."""
        source = f"/srv/{self.name}/releases/{self.release}"
        described = self.host.at(f"{source}/release.env")
        text = described.read_text() if described.is_file() else ""
        found = re.search(rf'_DIRECTORY="?{re.escape(source)}/src/([^"\n]+)', text)
        return found[1] if found else ""

    # Asking over the socket

    def sick(self, successes: int) -> str:
        """What is wrong with the answers over the socket; empty after so many good ones in a row.

        An answer is good when it is below 500. Without a health path nothing is asked, and nothing is wrong.
        """
        if not self.health_path:
            return ""
        deadline = time.monotonic() + self.health_timeout
        good = 0
        while good < successes:
            try:
                status, _unused = self._ask()
            except (OSError, http.client.HTTPException) as error:
                problem = f"gets no answer ({type(error).__name__}: {error})"
            else:
                if status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                    good += 1
                    continue
                problem = f"answers {status}"
            good = 0
            if time.monotonic() > deadline:
                return problem
            time.sleep(RETRY_INTERVAL)
        return ""

    def _ask(self) -> tuple[int, str]:
        """The status of the answer, and the release that says it is its own."""
        connection = http.client.HTTPConnection("localhost", timeout=5)
        connection.sock = over_tls(self._connected(), self.host.at(f"/etc/{self.name}/certificate.pem"), self.name)
        with contextlib.closing(connection):
            connection.request("GET", self.health_path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.getheader(RELEASE_HEADER, "")

    def _connected(self) -> socket.socket:
        """A connection to the app: on TCP over the socket for root, since the address may be closed to this host."""
        shown = self.host.systemctl("show", "--property=Listen", "--value", self._socket)[1]
        address = shown.strip().rsplit(" (", 1)[0]
        if address.startswith("/"):
            return self._connected_to_path(address)
        local = f"/run/{self.name}/local.sock"
        if self.host.at(local).exists():
            return self._connected_to_path(local)
        where, _unused, port = address.rpartition(":")
        any_address = {"0.0.0.0": "127.0.0.1", "[::]": "::1", "": "127.0.0.1"}  # noqa: S104
        return socket.create_connection((any_address.get(where, where.strip("[]")), int(port)), timeout=5)

    def _connected_to_path(self, path: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(str(self.host.at(path)))
        return connection
