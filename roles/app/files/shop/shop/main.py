"""The entry point, `shop.main:app`, for Uvicorn and for the workers of Gunicorn; `shop.settings` has all settings."""

import os
import sys
import tempfile

from upkeeper import metrics
from upkeeper.logs import configure_logs
from upkeeper.settings import load

from shop.application import create_app
from shop.settings import Settings


def metrics_directory() -> str:
    """Return where the workers of one Gunicorn add up: named by their master, so no other instance has it.

    It lies in the system's folder for temporary files, of which a systemd unit has one of its own. Empty under a server
    with one process.
    """
    under_gunicorn = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")
    return f"{tempfile.gettempdir()}/shop-metrics-{os.getppid()}" if under_gunicorn else ""


settings = load(Settings)
configure_logs(settings.log_level, json=not sys.stderr.isatty())
metrics.prepare(metrics_directory(), release=settings.release)
app = create_app(settings)
