"""Which process this is."""

import os
import platform

from pydantic import BaseModel


class Build(BaseModel):
    """Which release answered, where, and by which process."""

    release: str
    host: str
    worker: int


def this_process(release: str) -> Build:
    """Return the build of the process that asks."""
    return Build(release=release, host=platform.node(), worker=os.getpid())
