"""An app with private and exempt routes, another app below a private path, and a route for all the rest."""

import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route


def tell(request: Request, kind: str) -> Response:
    """Which kind of route this is, and what it has heard."""
    heard = {"raw": request.scope["raw_path"].decode("latin-1"), "path": request.scope["path"]}
    heard["query"] = request.scope["query_string"].decode("latin-1")
    return Response(json.dumps(heard), media_type="application/json", headers={"X-Kind": kind})


async def private(request: Request) -> Response:
    """A route that no client may reach."""
    return tell(request, "private")


async def exempt(request: Request) -> Response:
    """A route without a limit."""
    return tell(request, "exempt")


async def public(request: Request) -> Response:
    """All other routes."""
    return tell(request, "public")


app = Starlette(
    routes=[
        Route("/metrics", private),
        Route("/healthz", exempt),
        Route("/readyz", exempt),
        Mount("/internal", Starlette(routes=[Route("/{rest:path}", private)])),
        Route("/{rest:path}", public),
    ]
)
