"""The controls of the simulated services, and of what can be made to fail in the database."""

import asyncio
from typing import Any

import httpx2
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from upkeeper.database import Database
from upkeeper.errors import Refusal

from shop.state import Simulator

# Seconds that it gets to answer; it does nothing that takes time.
PATIENCE = 2.0

_LOCK = text("LOCK TABLE orders, receipts IN ACCESS EXCLUSIVE MODE")


class SimulatorAway(Refusal):
    """The simulator does not answer."""

    status = 502


class SimulatorControls:
    """Reads and sets how the simulator at `url` behaves. SimulatorAway when it does not answer."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url + "/behaviour"

    async def read(self) -> Simulator:
        """Return the present modes."""
        services = await self._ask("GET", self._url)
        return Simulator(**{name: service["mode"] for name, service in services.items()})

    async def behave(self, service: str, behaviour: dict[str, Any]) -> None:
        """Set how `service` treats the calls from now on."""
        await self._ask("PUT", f"{self._url}/{service}", json=behaviour)

    async def _ask(self, method: str, url: str, **options: Any) -> Any:
        try:
            answer = await self._http.request(method, url, timeout=PATIENCE, **options)
            answer.raise_for_status()
            return answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise SimulatorAway("The simulator does not answer.") from error


async def lock_tables(database: Database, seconds: float) -> None:
    """Keep all workers from the tables of the shop for so long, as a migration does that takes too long.

    Refusal (503) when they cannot be locked.
    """
    try:
        async with database.engine.connect() as connection:
            await connection.execute(_LOCK)
            await asyncio.sleep(seconds)
    except (SQLAlchemyError, OSError) as error:
        raise Refusal("The tables cannot be locked at the moment.", retry_after=1) from error
