"""The database: nobody waits for it without an end, and it gets its connections back. A real PostgreSQL."""

import asyncio
import contextlib
import random
import time

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from serving import serve
from sqlalchemy import event, orm, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from starlette.testclient import TestClient
from upkeeper import metrics
from upkeeper.database import Database, DatabaseUnavailable, Session
from upkeeper.deadline import DeadlineExceeded, DeadlineMiddleware, timeout
from upkeeper.errors import Refusal, answer_refusal

pytestmark = pytest.mark.anyio

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"


@pytest.fixture
async def connect(postgres):
    """`connect(pool_size=…)`: a database with this pool.

    Its time-outs are long, as a busy machine needs them; a test shortens them where that is what it waits for.
    """
    databases = []

    def make(**options):
        databases.append(Database(postgres.url, **{"pool_timeout": 60, "query_timeout": 60, **options}))
        return databases[-1]

    yield make
    if postgres.running:
        postgres.thaw()
    for database in databases:
        await database.close()


async def sleep(database, seconds):
    async with database.session() as session:
        await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


async def one(database, *statements):
    """What the last statement of a session says; which connection it has by default."""
    async with database.session() as session:
        for statement in statements:
            said = await session.scalar(text(statement))
        return said if statements else await session.scalar(text("SELECT pg_backend_pid()"))


async def until(condition):
    """Wait for what comes within a moment; it is an error when it does not within a minute."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)


async def test_a_session_is_committed_at_the_end_and_rolled_back_by_an_error(postgres, connect):
    postgres.sql("CREATE TABLE notes (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    database = connect()
    await one(database, "INSERT INTO notes VALUES (1) RETURNING id")
    with pytest.raises(DBAPIError, match="division by zero"):
        await one(database, "INSERT INTO notes VALUES (2) RETURNING id", "SELECT 1 / 0")
    with pytest.raises(IntegrityError):
        await one(database, "INSERT INTO notes VALUES (1) RETURNING id")
    assert postgres.sql("SELECT id FROM notes") == [["1"]]
    assert database.in_use == 0


@pytest.mark.parametrize(
    ("state", "invalidated", "is_away"),
    [("57P01", False, True), ("53300", False, True), ("", True, True), ("25006", False, True), ("22012", False, False)],
)
async def test_which_errors_say_that_the_database_is_away(connect, state, invalidated, is_away):
    class DriverError(Exception):
        sqlstate = state

    database = connect()
    error = DBAPIError("SELECT 1", {}, DriverError(), connection_invalidated=invalidated)
    with pytest.raises(DatabaseUnavailable if is_away else DBAPIError):
        async with database.session():
            raise error
    assert database.in_use == 0


class Note(orm.declarative_base()):
    __tablename__ = "notes"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)


async def test_what_was_read_can_be_used_after_the_commit(postgres, connect):
    postgres.sql("CREATE TABLE notes (id int PRIMARY KEY)")
    async with connect().session() as session:
        note = Note(id=7)
        session.add(note)
    assert note.id == 7


async def test_who_finds_all_connections_in_use_gets_503_after_the_time_out(connect):
    database = connect(pool_size=2)
    sleeping = [asyncio.create_task(sleep(database, 20)) for _ in range(2)]
    await until(lambda: database.in_use == 2)
    database.pool_timeout = 0.3
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as refused:
        await one(database)
    assert time.monotonic() - began >= 0.3
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    await database.check()  # it says nothing against the database
    for task in sleeping:
        task.cancel()
    await asyncio.gather(*sleeping, return_exceptions=True)
    database.pool_timeout = 60
    await one(database)


async def test_a_query_that_takes_too_long_is_a_504_and_the_server_stops_it(postgres, connect):
    database = connect(pool_size=1)
    for _ in range(10):  # on a machine that is busy, this process may be first, and close the connection
        backend = await one(database)
        database.query_timeout = 1
        with pytest.raises(DeadlineExceeded):
            await sleep(database, 20)
        database.query_timeout = 60
        await until(lambda: postgres.sql(SLEEPING) == [["0"]])
        if await one(database) == backend:
            return
    pytest.fail("it was never the server that stopped it, which leaves the connection as good as before")


async def test_the_server_knows_of_a_deadline_that_is_sooner(postgres, connect):
    database = connect(pool_size=1, query_timeout=30)
    asked = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
    assert await one(database, asked) == 28500
    async with timeout(10):
        assert 8500 < await one(database, asked) <= 9500
    async with database.session() as session:  # each transaction of it
        await session.commit()
        assert 27000 < await session.scalar(text(asked)) <= 28500
    with pytest.raises(DeadlineExceeded):
        async with timeout(0.5):
            await sleep(database, 20)
    await until(lambda: postgres.sql(SLEEPING) == [["0"]])


async def test_who_is_told_of_a_time_that_was_over_is_told_which_one(connect):
    database = connect(query_timeout=30)
    await one(database)
    stopped = ("SELECT set_config('statement_timeout', '1', true)", "SELECT pg_sleep(20)")
    with pytest.raises(DeadlineExceeded, match="A query took longer than its 30 s") as own:
        await one(database, *stopped)
    async with timeout(20):
        with pytest.raises(DeadlineExceeded, match="than this request may take") as of_request:
            await one(database, *stopped)
    assert (own.value.of_request, of_request.value.of_request) == (False, True)


async def test_a_session_as_a_whole_has_no_more_time_than_a_query(connect):
    database = connect()
    await one(database)
    database.query_timeout = 0.5
    with pytest.raises(DeadlineExceeded):
        await one(database, *["SELECT pg_sleep(0.1)"] * 100)
    assert database.in_use == 0


async def test_whoever_is_cancelled_gives_the_connection_back(postgres, connect):
    """At any moment: while it waits for one, connects, begins, queries, commits and closes."""
    database = connect(pool_size=3)
    for _ in range(10):
        tasks = [asyncio.create_task(sleep(database, 0.005)) for _ in range(12)]
        for task in tasks:
            await asyncio.sleep(random.uniform(0, 0.004))
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert database.in_use == database.engine.pool.checkedout() == 0
    await asyncio.gather(*(sleep(database, 0.1) for _ in range(6)))
    await until(lambda: postgres.sql(SLEEPING + " AND state = 'active'") == [["0"]])
    [[connections]] = postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'")
    assert int(connections) <= 3 + 1, "those of the pool, and psql"
    assert postgres.sql("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in%'") == []


async def test_a_database_that_was_away_is_used_again(postgres, connect):
    database = connect(pool_size=3)
    await asyncio.gather(sleep(database, 0.1), sleep(database, 0.1), one(database))
    sleeping = asyncio.create_task(sleep(database, 20))
    await until(lambda: database.in_use == 1)
    await asyncio.to_thread(postgres.kill)
    with pytest.raises(DatabaseUnavailable):
        await sleeping
    for ask in (one(database), database.check()):
        with pytest.raises(DatabaseUnavailable):
            await ask
    await asyncio.to_thread(postgres.start)
    assert await one(database, "SELECT 1") == 1
    await database.check()
    assert database.in_use == 0


async def test_nobody_gets_an_idle_connection_that_was_lost_meanwhile(postgres, connect):
    database = connect(pool_size=1)
    await one(database)
    postgres.kill()  # the loop has no time to see it
    postgres.start()
    assert await one(database, "SELECT 1") == 1


async def test_a_connection_that_is_lost_while_it_is_made_ready(connect):
    def lost(*_):
        raise asyncpg.InterfaceError("connection is closed")

    database = connect()
    event.listen(database.engine.sync_engine, "connect", lost)
    with pytest.raises(DatabaseUnavailable):
        await one(database)
    event.remove(database.engine.sync_engine, "connect", lost)
    assert await one(database, "SELECT 1") == 1
    with pytest.raises(DatabaseUnavailable):
        async with database.session():
            lost()
    assert database.in_use == 0


async def test_a_database_that_ends_in_order_is_used_again(postgres, connect):
    database = connect(pool_size=1)
    backend = await one(database)
    sleeping = asyncio.create_task(sleep(database, 20))
    await until(lambda: postgres.sql(SLEEPING) == [["1"]])
    postgres.sql(f"SELECT pg_terminate_backend({backend})", database="postgres")
    with pytest.raises(DatabaseUnavailable):
        await sleeping
    assert await one(database) != backend


async def test_a_database_that_is_silent_holds_nobody_up(postgres, connect):
    database = connect(pool_size=2)
    await asyncio.gather(one(database), one(database))
    patient = connect(pool_size=2)
    await one(patient)
    database.query_timeout = 3
    sleeping = asyncio.create_task(sleep(database, 20))
    await until(lambda: postgres.sql(SLEEPING) == [["1"]])
    database.pool_timeout = patient.pool_timeout = 0.5
    postgres.freeze()
    with pytest.raises(DeadlineExceeded):
        await sleeping
    for each in (database, patient):
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await one(each)
        assert time.monotonic() - began < 20
    postgres.thaw()
    database.pool_timeout = 60
    assert await one(database, "SELECT 1") == 1
    assert database.in_use == 0


async def test_a_former_primary_that_takes_no_writes_is_left(postgres, connect):
    postgres.sql("CREATE TABLE notes (id int)")
    database = connect(pool_size=1)
    backend = await one(database)
    read_only = "SELECT set_config('transaction_read_only', 'on', true)"
    with pytest.raises(DatabaseUnavailable):
        await one(database, read_only, "INSERT INTO notes VALUES (1) RETURNING id")
    assert await one(database) != backend


async def test_closing_ends_although_the_database_is_silent(postgres, connect):
    database = connect(query_timeout=60)
    await asyncio.gather(*(sleep(database, 0.1) for _ in range(4)))
    postgres.freeze()
    async with asyncio.timeout(30):
        await database.close()


async def test_what_listens_knows_how_many_connections_are_in_use(postgres, connect):
    def gauges():
        families = text_string_to_metric_families(metrics.render()[0].decode())
        return {each.name: each.samples[0].value for each in families if each.name.startswith("database")}

    database = connect(pool_size=3, listeners=[metrics.database_pool])
    async with database.session(), database.session():
        assert gauges() == {"database_connections_in_use": 2, "database_connections_limit": 3}
    await asyncio.to_thread(postgres.kill)
    with pytest.raises(DatabaseUnavailable):
        await one(database)
    assert gauges()["database_connections_in_use"] == 0


def application(database, **options):
    @contextlib.asynccontextmanager
    async def lifespan(_app):
        yield {"database": database}
        await database.close()

    app = FastAPI(lifespan=lifespan)
    app.add_exception_handler(Refusal, answer_refusal)

    @app.post("/notes/{number}")
    async def note(number: int, session: Session) -> int:
        await session.execute(text("INSERT INTO notes VALUES (:number)"), {"number": number})
        return number

    @app.get("/slow")
    async def slow(session: Session, seconds: float) -> None:
        await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})

    @app.get("/fast")
    async def fast() -> str:
        return "fast"

    app.add_middleware(DeadlineMiddleware, default=20, **options)
    return app


def test_nothing_is_confirmed_before_it_is_committed(postgres):
    postgres.sql("CREATE TABLE notes (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with TestClient(application(Database(postgres.url)), raise_server_exceptions=False) as client:
        assert [client.post("/notes/1").status_code for _ in range(2)] == [200, 500]
    assert postgres.sql("SELECT id FROM notes") == [["1"]]


async def test_other_routes_answer_while_every_connection_is_in_a_query(postgres):
    database = Database(postgres.url, pool_size=2, pool_timeout=60, query_timeout=20)
    with serve(application(database)) as url:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            hurry = {"X-Request-Timeout-Ms": "8000"}
            slow = [asyncio.create_task(client.get("/slow?seconds=19", headers=hurry)) for _ in range(2)]
            await until(lambda: postgres.sql(SLEEPING) == [["2"]])
            database.pool_timeout = 0.3
            refused = await client.get("/slow?seconds=0")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert refused.json()["type"] == "urn:upkeeper:database-unavailable"
            for _ in range(50):
                assert (await client.get("/fast")).status_code == 200
            assert not any(task.done() for task in slow)
            assert [(await task).status_code for task in slow] == [504, 504]
            await until(lambda: postgres.sql(SLEEPING + " AND state = 'active'") == [["0"]])
            database.pool_timeout = 60
            assert (await client.get("/slow?seconds=0")).status_code == 200
