"""What Alembic runs to reach the database: each migration in a transaction."""

import asyncio
import os
import sys
from functools import partial

import asyncpg
from alembic import context
from shop.tables import Base
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

# In milliseconds. While a migration waits for a lock, everybody who needs that table waits behind it.
LOCK_TIMEOUT = "3000"


def migrate(connection: Connection) -> None:
    """Do what the command says."""
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


async def main(url: str) -> None:
    """Connect as the shop does."""
    connect = partial(asyncpg.connect, url, server_settings={"lock_timeout": LOCK_TIMEOUT})
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


if not (url := os.environ.get("DATABASE_URL")):
    sys.exit("DATABASE_URL is missing: write the address of the database, such as postgresql://shop@db.example/shop.")
asyncio.run(main(url))
