"""PostgreSQL by SQLAlchemy, with an end to each wait: for a connection, for a query, and for a server that is silent.

    database = Database("postgresql://shop@db.example/shop", listeners=[metrics.database_pool])

    @asynccontextmanager
    async def lifespan(app):
        yield {"database": database}
        await database.close()

    @app.get("/orders/{number}")
    async def order(number: int, session: Session) -> Order: ...

The driver is asyncpg: a transaction costs a fifth less than with psycopg, and a connection to a server that has stopped
answering is given up after two seconds instead of ten.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Annotated, Any

import asyncpg
from fastapi import Depends
from sqlalchemy import Connection, event, orm, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from starlette.requests import HTTPConnection

from .deadline import TOO_LATE, DeadlineExceeded, remaining, timeout
from .errors import Refusal

# The share of the time that is left which the server gets for a query: it should stop before it is not listened to.
HEADSTART = 0.95

# Seconds that connections get to be closed in an orderly way.
FAREWELL = 2.0

_LIMIT = text("SELECT set_config('statement_timeout', :milliseconds, true)")
_CANCELLED = "57014"
# Classes of SQLSTATE for a connection that is lost, a server with no room left, and one that ends or starts.
_AWAY = ("08", "53", "57")
_READ_ONLY = "25006"  # after a fail-over, the former primary
# SQLAlchemy passes on what the driver raises while a connection is made ready.
_OF_DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError)


class DatabaseUnavailable(Refusal):
    """503: no connection was free in time, or the database went away. What was to be committed may have been."""

    kind = "database-unavailable"


class Database:
    """A pool of at most `pool_size` connections of this process to the database at `url`, as asyncpg takes it.

    Times are in seconds. Who finds all connections in use waits up to `pool_timeout` for one. `query_timeout` is for a
    session as a whole, once it has its connection; a deadline around it that ends sooner counts instead, and the server
    knows of either. Listeners get how many connections are in use and how many there may be, and must not block.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        pool_timeout: float = 5.0,
        query_timeout: float = 5.0,
        retry_after: float = 1.0,
        listeners: Iterable[Callable[[int, int], None]] = (),
    ) -> None:
        self.pool_size = pool_size
        self.pool_timeout = pool_timeout
        self.query_timeout = query_timeout
        self.retry_after = retry_after
        self.listeners = list(listeners)
        # A server that is silent stops no query: then the driver does, a little later.
        connect = partial(asyncpg.connect, url, timeout=pool_timeout, command_timeout=query_timeout)
        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout,
            pool_pre_ping=True,
        )
        sessions = orm.sessionmaker()
        event.listen(sessions, "after_begin", self._limit)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, sync_session_class=sessions)
        self._taken: set[object] = set()
        event.listen(self.engine.sync_engine, "checkout", self._on_checkout)
        event.listen(self.engine.sync_engine, "checkin", self._on_checkin)

    @property
    def in_use(self) -> int:
        """Connections in use."""
        return len(self._taken)

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A transaction with a connection of its own, committed at the end of the block, or rolled back by an error.

        Hold it for no longer than its queries take, and call no other service within it. Raises DatabaseUnavailable
        (503), DeadlineExceeded (504) for a query that takes too long, and other errors of the database as they are.
        """
        async with self._sessions() as session:
            await self._connect(session)
            left = remaining()
            of_request = left is not None and left < self.query_timeout
            try:
                async with timeout(self.query_timeout):
                    yield session
                    await session.commit()
            except DBAPIError as error:
                state = getattr(error.orig, "sqlstate", None) or ""
                if state == _CANCELLED:
                    detail = TOO_LATE if of_request else f"A query took longer than its {self.query_timeout:g} s."
                    raise DeadlineExceeded(detail, of_request=of_request) from error
                if error.connection_invalidated or state.startswith(_AWAY) or state == _READ_ONLY:
                    await session.invalidate()
                    raise self._unavailable() from error
                raise
            except _OF_DRIVER as error:
                raise self._unavailable() from error

    async def check(self, query: str = "SELECT 1") -> None:
        """For `Readiness`: raises unless the database answers. A pool that is all in use says nothing against it."""
        if self.in_use < self.pool_size:
            async with self.session() as session:
                await session.execute(text(query))

    async def close(self) -> None:
        """Close all connections."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self.engine.dispose()

    async def _connect(self, session: AsyncSession) -> None:
        try:
            async with asyncio.timeout(self.pool_timeout):
                await session.connection()
        except (SQLAlchemyError, OSError, *_OF_DRIVER) as error:
            raise self._unavailable() from error

    def _unavailable(self) -> DatabaseUnavailable:
        return DatabaseUnavailable("The database cannot be used at the moment.", retry_after=self.retry_after)

    def _limit(self, _session: orm.Session, _transaction: orm.SessionTransaction, connection: Connection) -> None:
        """Tell the server how long each query of the transaction that begins may take."""
        left = remaining()
        seconds = self.query_timeout if left is None else min(left, self.query_timeout)
        connection.execute(_LIMIT, {"milliseconds": str(max(1, int(seconds * HEADSTART * 1000)))})

    def _on_checkout(self, _connection: Any, record: object, _proxy: Any) -> None:
        self._taken.add(record)
        self._tell()

    def _on_checkin(self, _connection: Any, record: object) -> None:
        self._taken.discard(record)  # one that could not be opened was never taken
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener(self.in_use, self.pool_size)


async def _session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    database: Database = connection.state.database
    async with database.session() as session:
        yield session


# A session for one route, of the `database` in the state of the lifespan. It is committed before the answer leaves, so
# that nothing is confirmed which then fails: without `scope`, FastAPI would commit after the answer.
Session = Annotated[AsyncSession, Depends(_session, scope="function")]
