"""Structured logs: one line per event on standard error, from structlog and from the standard library alike.

There is no line per request: the proxy writes that one, with the same request id. What an unhandled exception leaves is
written by the server, with its traceback. A line holds what it was given: never give it a password, a token, a query
string or a body. Local variables of a traceback are left out for that reason.
"""

import logging
import sys

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from .context import request_id, trace_id

# Servers give these handlers of their own, which would write each line a second time, and in another form.
SERVERS = ("gunicorn", "gunicorn.error", "uvicorn", "uvicorn.error", "uvicorn.asgi")
ACCESS = ("gunicorn.access", "uvicorn.access")
# They write the address of each request to another service, query string included, at level info.
CLIENTS = ("httpx2", "httpcore2")


def configure_logs(level: str = "info", *, json: bool = True) -> None:
    """Set up structlog and the standard library's logging for this process; to call it again replaces the settings.

    `level` is the lowest that is written: debug, info, warning, error or critical; ValueError for any other. `json`
    writes one object per line, for a machine; without it, lines are for a person at a terminal. A line has `timestamp`
    (UTC), `level`, `logger`, `event`, `request_id` within a request, `trace_id` within a trace, `exception` where there
    is one, and what else the call names. Gunicorn's master is another process, and writes as its own settings say.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Processor]
    if json:
        exceptions = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        render = [exceptions, structlog.processors.JSONRenderer()]
    else:
        # Its usual traceback shows local variables where `rich` is installed.
        plain = structlog.dev.plain_traceback
        render = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render], foreign_pre_chain=shared
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers = [handler]
    logging.captureWarnings(True)
    for name in SERVERS:
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for name in ACCESS:
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = False
    for name in CLIENTS:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if identifier := request_id():
        event["request_id"] = identifier
    if trace := trace_id():
        event["trace_id"] = trace
    return event
