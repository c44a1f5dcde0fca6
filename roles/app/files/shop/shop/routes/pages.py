"""What a person looks at."""

from datetime import UTC, datetime

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse

from shop.pages import Pages
from shop.services import Services
from shop.status import StatusReader

MODES = {"ok": "answer", "fail": "fail", "stall": "stall", "drop": "hang up", "busy": "be busy"}


def router(services: Services, reader: StatusReader, api: FastAPI) -> APIRouter:
    """The routes of this subject; `api` is what the documentation is of."""
    routes = APIRouter(include_in_schema=False)
    pages = Pages()

    @routes.head("/")
    @routes.get("/")
    async def page(request: Request) -> HTMLResponse:
        """Show the state as it is now; the page follows it by `/api/events`."""
        return pages.answer(
            "page.html",
            state=await reader.state(),
            limits=await reader.limits(request.scope),
            missing=services.settings.missing(),
            modes=MODES,
            can_sign_in=services.settings.simulator_controls and services.identities.enabled,
            now=datetime.now(UTC).strftime("%H:%M:%S UTC"),
        )

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        """Show what the API takes and answers, without a file from elsewhere."""
        document = api.openapi()
        operations = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        return pages.answer("docs.html", api=document, operations=operations)

    return routes
