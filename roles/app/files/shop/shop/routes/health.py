"""What probes, deployments and Prometheus ask."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from upkeeper import metrics
from upkeeper.errors import Refusal

from shop.build import Build, this_process
from shop.dependencies import AllServices
from shop.errors import LIMITED, answers

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """What a probe reads."""

    status: Literal["alive", "ready"]


class NotReady(Refusal):
    """This worker should get no requests now."""


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", responses=answers())
async def live() -> Health:
    """Liveness: the event loop answers. It touches no dependency, so that a slow one never restarts a worker."""
    return Health(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=answers(503))
async def ready(services: AllServices) -> Health:
    """Readiness: this worker may take requests. What it depends on was asked before, so this costs nothing."""
    if (reason := services.readiness.reason) is not None:
        raise NotReady(reason, retry_after=1)
    return Health(status="ready")


@router.get("/api/build", responses=answers(*LIMITED))
async def build(response: Response, services: AllServices) -> Build:
    """Say which release, host and worker answered."""
    response.headers["Cache-Control"] = "no-store"
    return this_process(services.settings.release)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def prometheus() -> Response:
    """Figures of all workers of this host, for Prometheus.

    Whoever reaches the app may read them, so the proxy must not pass this path on: Nginx answers 404 for it, and
    Prometheus asks the app on its own socket or private address.
    """
    body, content_type = metrics.render()
    return Response(body, media_type=content_type)
