"""All middleware in the right order, by one call.

add_stack(app, limiter=RateLimiter(redis), choose=lambda scope: (EVERYBODY, client_key(scope)), deadline=30)
"""

from collections.abc import Callable, Mapping, Sequence

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from . import context, deadline, idempotency
from .context import RequestContextMiddleware
from .deadline import DeadlineMiddleware
from .errors import Refusal, answer_refusal
from .metrics import MetricsMiddleware
from .rate_limit import Policy, RateLimiter, RateLimitMiddleware

# What a script of another origin may send besides what every form may, and what it may read of an answer.
ALLOWED = ("Authorization", "Content-Type", idempotency.HEADER, deadline.HEADER, "traceparent", "tracestate")
EXPOSED = (
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    context.HEADER,
    idempotency.REPLAYED,
)


def add_stack(
    app: FastAPI,
    *,
    limiter: RateLimiter,
    choose: Callable[[Scope], tuple[Policy, str] | None],
    deadline: float = 30.0,
    deadlines: Mapping[str, float] | None = None,
    cors_origins: Sequence[str] = (),
) -> None:
    """Put an application behind all of it; call this last, after any middleware of the application's own.

    Outside in: CORS (where there are `cors_origins`), request id, metrics, deadline, rate limit. CORS is outermost, or
    a browser could not read a 429 or 504. `deadline` is in seconds, and `deadlines` has those of single paths, as
    `routes` of DeadlineMiddleware; `limiter` and `choose` are those of RateLimitMiddleware.
    """
    app.add_exception_handler(Refusal, answer_refusal)
    app.add_middleware(RateLimitMiddleware, limiter=limiter, choose=choose)
    app.add_middleware(DeadlineMiddleware, default=deadline, routes=deadlines)
    app.add_middleware(MetricsMiddleware)
    app.add_middleware(RequestContextMiddleware)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=ALLOWED,
            expose_headers=EXPOSED,
        )
