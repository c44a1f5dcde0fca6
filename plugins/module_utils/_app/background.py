# Copyright: (c) 2026, The production.fastapi maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The processes of an app that serve no requests, and its jobs: those of one release at a time.

What there should be is read from the host, so that a rollback needs no variables: a unit file NAME.PROCESS@.service is
a process of whichever release is live (PROCESS ends with its number, as mailer-2), and NAME.JOB.timer is a job.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.production.fastapi.plugins.module_utils._host.systemd import UNIT_FOLDER, Host

PROCESS = "[a-z][a-z0-9-]*-[0-9]+"
JOB = "[a-z][a-z0-9-]*"
PROCESS_TARGET = "multi-user.target"
JOB_TARGET = "timers.target"
STAMPS = "/var/lib/systemd/timers"
WATCH_INTERVAL = 0.25
# Longer than any time-out in a unit, in seconds.
STOP_TIMEOUT = 3700


@dataclass(frozen=True, order=True)
class Process:
    """One process of one release."""

    name: str  # with its number, as mailer-2
    release: str

    def __str__(self) -> str:
        """As a person calls it."""
        return f"process {self.name} of release {self.release}"


@dataclass(frozen=True)
class BackgroundState:
    """What a host says of the processes and jobs of an app."""

    running: frozenset[Process] = frozenset()
    present: frozenset[Process] = frozenset()  # runs, starts, fails or waits for its next try
    enabled: frozenset[Process] = frozenset()  # starts with the host
    scheduled: frozenset[str] = frozenset()  # jobs whose timer runs and starts with the host
    known: frozenset[str] = frozenset()  # jobs whose timer runs, has failed or starts with the host


@dataclass(frozen=True)
class Background:
    """The processes and jobs of the app `name`; a release that is an empty text has none of either."""

    host: Host
    name: str

    # Reading

    def patterns(self) -> tuple[str, ...]:
        """What to ask systemd for; `read` takes the answer."""
        return f"{self.name}.*@*.service", f"{self.name}.*.timer"

    def read(self, units: Mapping[str, str]) -> BackgroundState:
        """The state of the host, whose units are given with their ActiveState."""
        states = {process: state for unit, state in units.items() if (process := self._process(unit))}
        enabled = map(self._process, self.host.starts_with(PROCESS_TARGET))
        timers = {job: state for unit, state in units.items() if (job := self._job(unit))}
        starting = {job for unit in self.host.starts_with(JOB_TARGET) if (job := self._job(unit))}
        return BackgroundState(
            running=frozenset(process for process, state in states.items() if state == "active"),
            present=frozenset(process for process, state in states.items() if state != "inactive"),
            enabled=frozenset(process for process in enabled if process),
            scheduled=frozenset(job for job in starting if timers.get(job) == "active"),
            known=frozenset(job for job, state in timers.items() if state != "inactive") | starting,
        )

    def wanted(self, release: str) -> list[Process]:
        """The processes that a live release has."""
        found = self._files(f"{self.name}.*@.service", rf"{re.escape(self.name)}\.({PROCESS})@\.service")
        return [Process(name, release) for name in found if release]

    def jobs(self, release: str) -> list[str]:
        """The jobs that run in a live release."""
        found = self._files(f"{self.name}.*.timer", rf"{re.escape(self.name)}\.({JOB})\.timer")
        return found if release else []

    def reasons(self, state: BackgroundState, release: str) -> list[str]:
        """Why there is something to do for this release to have its processes and jobs, a phrase each."""
        reasons, wanted, jobs = [], self.wanted(release), self.jobs(release)
        for process in wanted:
            if process not in state.running:
                reasons.append(f"{process} does not run")
            else:
                reasons += [f"{file} changed since {process} started" for file in self._changed(process)]
            if process not in state.enabled:
                reasons.append(f"{process} would not start with the host")
        reasons += [f"{process} is still there" for process in self._leaving(state, wanted)]
        reasons += [f"job {job} is not scheduled" for job in jobs if job not in state.scheduled]
        return reasons + [f"job {job} is still scheduled" for job in sorted(state.known.difference(jobs))]

    # Doing

    def hand_over(self, state: BackgroundState, release: str, *, anew: bool = False) -> list[Process]:
        """Stop the processes that are not this release's, and then start its own; returns those that were started.

        Those that run with the files of now stay as they are, unless all are wanted `anew`; `settle` enables them.
        """
        wanted = self.wanted(release)
        self._tell("stop", self._leaving(state, wanted))
        started = [process for process in wanted if anew or process not in state.running or self._changed(process)]
        self._tell("restart", started)
        return started

    def settle(self, state: BackgroundState, release: str) -> bool:
        """Let what `hand_over` has started start with the host, and the jobs run by the calendar.

        Returns whether something was enabled or disabled. systemd then has to read its units again, which is left to
        the caller: it costs 0.2 s of a processor.
        """
        wanted, jobs = self.wanted(release), self.jobs(release)
        new = [process for process in wanted if process not in state.enabled]
        leaving = self._leaving(state, wanted)
        scheduled = [job for job in jobs if job not in state.scheduled]
        dropped = sorted(state.known.difference(jobs))
        self._tell("enable", new, "--no-reload")
        self._tell("disable", leaving, "--no-reload")
        self._tell("reset-failed", leaving)
        for job in scheduled:
            self.host.systemctl("enable", "--now", "--no-reload", f"{self.name}.{job}.timer")
        for job in dropped:
            self._unschedule(job)
        return bool(new or leaving or scheduled or dropped)

    def watch(self, processes: list[Process], seconds: float) -> Process | None:
        """The first of these processes that ends within so many seconds; None when all stay."""
        began = time.monotonic()
        before = self._lives(processes)
        while True:
            now = self._lives(processes)
            for process in processes:
                life = now.get(process, "")
                if life != before.get(process) or "ActiveState=active" not in life.split():
                    return process
            if time.monotonic() - began >= seconds:
                return None
            time.sleep(WATCH_INTERVAL)

    def unit(self, process: Process) -> str:
        """The unit of a process."""
        return f"{self.name}.{process.name}@{process.release}.service"

    def _tell(self, verb: str, processes: Iterable[Process], *options: str) -> None:
        # All in one call, so that those that take their time to stop do so together.
        if units := [self.unit(process) for process in processes]:
            self.host.systemctl(verb, *options, *units, timeout=STOP_TIMEOUT)

    def _unschedule(self, job: str) -> None:
        """Take a job out of the calendar, and end it where it runs."""
        timer, service = f"{self.name}.{job}.timer", f"{self.name}.{job}.service"
        self.host.systemctl("disable", "--no-reload", timer)
        self.host.systemctl("stop", timer, service)
        self.host.systemctl("reset-failed", timer, service)
        # Else it would be made up for at once when a job of this name comes again.
        self.host.at(f"{STAMPS}/stamp-{timer}").unlink(missing_ok=True)

    def _leaving(self, state: BackgroundState, wanted: Iterable[Process]) -> list[Process]:
        return sorted((state.present | state.enabled).difference(wanted))

    def _changed(self, process: Process) -> list[str]:
        """The files of which the process is older; it has recorded them when it started."""
        recorded = self.host.recorded(f"/run/{self.name}/{process.name}.{process.release}.started")
        return [file for file, digest in recorded.items() if self.host.digest(file) != digest]

    def _lives(self, processes: list[Process]) -> dict[Process, str]:
        """What changes when a process ends or is restarted."""
        units = map(self.unit, processes)
        shown = self.host.systemctl("show", "--property=ActiveState,InvocationID", *units)[1]
        return dict(zip(processes, [block.strip() for block in shown.split("\n\n")], strict=False))

    def _files(self, pattern: str, named: str) -> list[str]:
        folder = self.host.at(UNIT_FOLDER)
        return sorted(found[1] for path in folder.glob(pattern) if (found := re.fullmatch(named, path.name)))

    def _process(self, unit: str) -> Process | None:
        found = re.fullmatch(rf"{re.escape(self.name)}\.({PROCESS})@(.+)\.service", unit)
        return Process(found[1], found[2]) if found else None

    def _job(self, unit: str) -> str:
        found = re.fullmatch(rf"{re.escape(self.name)}\.({JOB})\.timer", unit)
        return found[1] if found else ""
