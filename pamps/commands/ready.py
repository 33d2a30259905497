"""A database that a command can work on: there, with the schema of this version."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import psycopg2
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from pamps import schema, startup
from pamps.config import Settings
from pamps.db import drivers
from pamps.db.database import Database
from pamps.errors import DatabaseUnavailable, PampsError

Answer = TypeVar("Answer")


def run(settings: Settings, work: Callable[[Database], Awaitable[Answer]]) -> Answer:
    """Run statements of the API on the database: start or join it, open it for `work`, close it.

    Raises EmbeddedError, DatabaseUnavailable, SchemaBehind, and whatever `work` raises.
    """

    async def opened(uri: str) -> Answer:
        async with connected(uri, settings) as database:
            return await work(database)

    with ready(settings) as uri:
        return asyncio.run(opened(uri))


@asynccontextmanager
async def connected(uri: str, settings: Settings) -> AsyncIterator[Database]:
    """A Database of one connection: a command does one thing after another."""
    database = Database(uri, settings.db.model_copy(update={"pool_min_size": 1, "pool_size": 1}))
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def ready(settings: Settings) -> Iterator[str]:
    """The uri of the database, its schema this version's: migrated now, where `auto_migrate` says so.

    Raises EmbeddedError, DatabaseUnavailable, SchemaBehind.
    """
    with startup.database(settings) as uri:
        current = revision_of(uri, settings)
        if current != schema.head():
            if not settings.auto_migrate:
                raise schema.behind(current)
            startup.migrate(uri)
        yield uri


def revision_of(uri: str, settings: Settings) -> str | None:
    """The revision that a database is at; None where there is none yet. Raises DatabaseUnavailable."""
    with engine_of(uri, settings) as engine, in_one_line():
        return schema.current(engine)


def name_of(uri: str, settings: Settings) -> str:
    """The name of the database, as itself knows it. Raises DatabaseUnavailable."""
    with engine_of(uri, settings) as engine, in_one_line(), engine.connect() as connection:
        return str(connection.exec_driver_sql("SELECT current_database()").scalar_one())


@contextmanager
def engine_of(uri: str, settings: Settings) -> Iterator[Engine]:
    """The database as psycopg2 takes it."""
    timeout = max(1, int(settings.db.connect_timeout))
    engine = drivers.engine(uri, connect_args={"connect_timeout": timeout, "application_name": "pamps"})
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def in_one_line(
    what: str = "the database can't be used", kind: type[PampsError] = DatabaseUnavailable
) -> Iterator[None]:
    """What psycopg2 can't do, as an error of ours that says what that means and why."""
    try:
        yield
    except (DBAPIError, psycopg2.Error) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise kind(f"{what}: {startup.first_line(reason)}") from error
