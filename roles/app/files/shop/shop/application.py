"""The application: what surrounds the routes, in order, and the routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware
from upkeeper.context import RequestContextMiddleware
from upkeeper.deadline import DeadlineMiddleware
from upkeeper.errors import Refusal, answer_refusal, use_problem_details
from upkeeper.metrics import MetricsMiddleware
from upkeeper.rate_limit import RateLimitMiddleware

from shop.answered_by import AnsweredByMiddleware
from shop.errors import answer_invalid, answer_unexpected
from shop.pages import STATIC
from shop.routes import checkout, health, live, orders, pages, session, simulator, slow, status, upload
from shop.services import Services
from shop.settings import Settings
from shop.status import StatusReader


def create_app(settings: Settings) -> FastAPI:
    """Make the application, which can be started and stopped once."""
    use_problem_details(False)  # one form for all errors: FastAPI's own, and what Nginx answers in our place
    services = Services(settings)
    reader = StatusReader(services)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with services.running():
            yield {"services": services, "reader": reader, "database": services.database}

    app = FastAPI(
        title="Shop",
        summary="The sample service of production.fastapi.",
        version=settings.release,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        exception_handlers={
            Refusal: answer_refusal,
            RequestValidationError: answer_invalid,
            Exception: answer_unexpected,
        },
        middleware=[
            Middleware(RequestContextMiddleware),
            Middleware(MetricsMiddleware),
            Middleware(AnsweredByMiddleware),
            Middleware(
                DeadlineMiddleware, default=settings.request_timeout, routes={"/api/events": settings.events_timeout}
            ),
            Middleware(RateLimitMiddleware, limiter=services.limiter, choose=services.policies.choose),
        ],
    )
    for routes in (pages, health, status, orders, checkout, upload, live, session, simulator):
        app.include_router(routes.router)
    app.include_router(slow.router(database=services.database is not None))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
