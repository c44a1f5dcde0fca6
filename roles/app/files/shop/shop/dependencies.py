"""What routes ask for by `Annotated[…, Depends(…)]`; it comes from what the lifespan yields, one for each worker.

A test puts something else in its place: `app.dependency_overrides[dependencies.payments] = lambda: bank`.
"""

from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection
from upkeeper.database import Database
from upkeeper.idempotency import IdempotencyStore
from upkeeper.rate_limit import limit

from shop.identity import Identity
from shop.orders import Orders
from shop.services import Services
from shop.simulator import SimulatorControls
from shop.status import StatusReader
from shop.upstream import Upstream

NO_SIMULATOR = "There is no simulator here: set APP_DEPENDENCIES_URL, and APP_SIMULATOR_CONTROLS=true."

NO_LOCK = "There is no database to lock here: set DATABASE_URL, and APP_SIMULATOR_CONTROLS=true."

_bearer = HTTPBearer(
    bearerFormat="JWT", description="A token of `POST /api/session`. It has a wider rate limit.", auto_error=False
)


async def services(connection: HTTPConnection) -> Services:
    """Everything that lives as long as the worker."""
    found: Services = connection.state.services
    return found


AllServices = Annotated[Services, Depends(services)]


async def reader(connection: HTTPConnection) -> StatusReader:
    """What reads the state of the shop."""
    found: StatusReader = connection.state.reader
    return found


async def orders(services: AllServices) -> Orders:
    """The orders of the shop."""
    return services.orders


async def warehouse(services: AllServices) -> Upstream | None:
    """The warehouse; None where there is none."""
    return services.warehouse


async def payments(services: AllServices) -> Upstream | None:
    """Payments; None where there are none."""
    return services.payments


async def idempotency(services: AllServices) -> IdempotencyStore:
    """The idempotency keys."""
    return services.idempotency


async def simulator(services: AllServices) -> SimulatorControls:
    """The controls of the simulated services; 404 where there are none."""
    if services.simulator is None:
        raise HTTPException(404, NO_SIMULATOR)
    return services.simulator


async def lockable(services: AllServices) -> Database:
    """The database, where everybody may make it fail; 404 otherwise."""
    if services.database is None or not services.settings.simulator_controls:
        raise HTTPException(404, NO_LOCK)
    return services.database


async def caller(connection: HTTPConnection, services: AllServices) -> str:
    """The key of whoever asks."""
    return services.policies.caller(connection.scope)


async def checkout_limit(connection: HTTPConnection, services: AllServices) -> None:
    """Counts the request as a check-out. RateLimited (429) when too many came."""
    await limit(services.policies.checkout)(connection)


async def member(
    request: Request,
    services: AllServices,
    _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Identity:
    """Who asks, by a good token; 401 otherwise."""
    return services.identities.require(request.scope)


Reader = Annotated[StatusReader, Depends(reader)]
AllOrders = Annotated[Orders, Depends(orders)]
Warehouse = Annotated[Upstream | None, Depends(warehouse)]
Payments = Annotated[Upstream | None, Depends(payments)]
Keys = Annotated[IdempotencyStore, Depends(idempotency)]
Controls = Annotated[SimulatorControls, Depends(simulator)]
Lockable = Annotated[Database, Depends(lockable)]
Caller = Annotated[str, Depends(caller)]
Member = Annotated[Identity, Depends(member)]
