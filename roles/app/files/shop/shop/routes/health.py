"""What probes, deployments and Prometheus ask."""

from fastapi import APIRouter, Response
from pydantic import BaseModel
from upkeeper import metrics
from upkeeper.errors import Refusal

from shop.build import Build, this_process
from shop.errors import answers
from shop.services import Services


class Health(BaseModel):
    """What a probe reads."""

    status: str


class NotReady(Refusal):
    """This worker should get no requests now."""


def router(services: Services) -> APIRouter:
    """The routes of this subject."""
    routes = APIRouter(tags=["health"])

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz")
    async def live() -> Health:
        """Liveness: the event loop answers. It touches no dependency, so that a slow one never restarts a worker."""
        return Health(status="alive")

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz", responses=answers(503))
    async def ready() -> Health:
        """Readiness: this worker may take requests. What it depends on was asked before, so this costs nothing."""
        if (reason := services.readiness.reason) is not None:
            raise NotReady(reason, retry_after=1)
        return Health(status="ready")

    @routes.get("/api/build", responses=answers(429, 503, 504))
    async def build(response: Response) -> Build:
        """Say which release, host and worker answered."""
        response.headers["Cache-Control"] = "no-store"
        return this_process(services.settings.release)

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def prometheus() -> Response:
        """Figures of all workers of this host, for Prometheus.

        Whoever reaches the app may read them, so the proxy must not pass this path on: Nginx answers 404 for it, and
        Prometheus asks the app on its own socket or private address.
        """
        body, content_type = metrics.render()
        return Response(body, media_type=content_type)

    return routes
