"""What a person looks at."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from shop.api import operations, schemas
from shop.dependencies import AllServices, Reader
from shop.pages import Pages

# What the buttons say: a mode of the simulator, for how many calls, and the words.
MODES = {
    "warehouse": [("ok", 0, "answers"), ("drop", 2, "hangs up twice"), ("stall", 0, "stalls")],
    "payments": [
        ("ok", 0, "answer"),
        ("fail", 0, "fail"),
        ("stall", 0, "stall"),
        ("drop", 0, "hang up"),
        ("busy", 0, "are busy"),
    ],
}

router = APIRouter(include_in_schema=False)
pages = Pages()


@router.head("/")
@router.get("/")
async def page(request: Request, services: AllServices, reader: Reader) -> HTMLResponse:
    """Show the state as it is now; the page follows it by `/api/events`."""
    settings = services.settings
    limits = await reader.limits(request.scope)
    return pages.answer(
        "page.html",
        state=await reader.state(),
        limits=limits,
        missing=settings.missing(),
        modes=MODES,
        # So many failed check-outs open the breaker; as many again, and more, are within the limit.
        crowd=settings.breaker_failures,
        can_sign_in=settings.simulator_controls and services.identities.enabled,
        can_lock=settings.simulator_controls and services.database is not None,
        now=datetime.now(UTC).strftime("%H:%M:%S UTC"),
    )


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Show what the API takes and answers, and let it be tried, without a file from elsewhere."""
    document = request.app.openapi()
    return pages.answer("docs.html", api=document["info"], operations=operations(document), schemas=schemas(document))
