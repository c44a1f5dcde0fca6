"""A process or a job of the app: background.py NAME writes down when it begins and ends, and of which edition it is."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import edition

NAME = sys.argv[1]


def note(event: str) -> None:
    """Add a line to a file that outlives the release."""
    with Path("/srv/hello/shared/background").open("a", encoding="utf-8") as file:
        print(NAME, event, edition.NAME, file=file)


signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
note("begins")
if NAME == "mailer":
    if getattr(edition, "PROCESS_ENDS", False):
        print("a planted end of a process")
        sys.exit(3)
    signal.sigwait([signal.SIGTERM])
note("ends")
