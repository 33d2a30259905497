"""The database, as it serves requests: a pool of asyncpg connections, and statements to run on it."""

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from pamps import errors
from pamps.config import Db
from pamps.db.drivers import asyncpg_uri
from pamps.db.meanings import BY_CODE, COLLIDED, UNAVAILABLE, Meanings
from pamps.db.pool import Pool
from pamps.db.statement import Statement
from pamps.errors import PampsError
from pamps.recent import Recent

PATIENCE = 3600  # seconds
IDLE = 10_000  # milliseconds that a transaction may do nothing: its process stands still, and its locks are in the way
TRIES = 3  # of a statement that collides with others
CLOSING = 3  # seconds; requests have had theirs, server.shutdown_timeout, before
PLANNING = {
    "jit": "off",  # compiling costs more than any of our statements
    "plan_cache_mode": "force_generic_plan",  # planning a statement anew would take longer than most of them take
}
# Who asks, as security.Claim has it: the ids of a user and of a session, what proves a personal token, and the scopes.
Claimed = tuple[int, int, bytes | None, frozenset[str]]
NOBODY = (None, None, None)
VOUCHED = 8_192  # sessions


class Runner(ABC):
    """What runs statements: each by itself, as `Database` does, or several in a transaction (idempotency.py).

    `vouched` is whether a session was found alive, by the ids and the proof of a claim: noted of personal tokens, whose
    text alone tells nothing, and of whatever has ended. `used` has the sessions of personal tokens, and when they were
    last used, in seconds since the epoch; uses.py writes it to the database.
    """

    vouched: Recent[tuple[int | None, int | None, bytes | None], bool]
    used: dict[int, float]

    @abstractmethod
    async def row(self, statement: Statement, **params: Any) -> asyncpg.Record | None:
        """The first row of a statement, or None."""

    async def one(self, statement: Statement, viewer: Claimed | None = None, **params: Any) -> asyncpg.Record:
        """The row of a statement that verifies the viewer's session.

        Raises SessionEnded where there is no row, what `refused` names, the statement's `missing` for a null `body`. A
        refusal that does not stand for ever may come with `wait`, in seconds.
        """
        asker = viewer[:3] if viewer else NOBODY
        params["viewer"], params["session"], params["proof"] = asker
        row = await self.row(statement, **params)
        if row is None:
            self.vouched[asker] = False
            raise errors.SessionEnded()
        if viewer and viewer[2] is not None:
            self.vouched[asker] = True
            self.used[viewer[1]] = time.time()
        if refused := row.get("refused"):
            wait = row.get("wait")
            raise BY_CODE[refused]() if wait is None else BY_CODE[refused](wait)
        if row.get("body", "") is None:
            raise statement.missing()
        return row


class Database(Runner):
    """A pool of connections to one database, opened when first needed and again after the database was away."""

    def __init__(self, uri: str, settings: Db):
        self.uri = uri
        self.settings = settings
        self.pool: Pool | None = None
        self.opening = asyncio.Lock()
        self.meanings = Meanings()
        self.vouched = Recent(VOUCHED)
        self.used = {}

    async def open(self) -> Pool:
        """The pool. Raises DatabaseUnavailable."""
        if self.pool is None:
            async with self.opening:
                if self.pool is None:
                    pool = Pool(
                        self.connect,
                        self.settings.pool_min_size,
                        self.settings.pool_size,
                        self.settings.max_waiting,
                        self.settings.wait_timeout,
                    )
                    await pool.fill()
                    self.pool = pool
        return self.pool

    @property
    def room(self) -> float:
        """For how many statements more there is a connection, or a place in the line for one."""
        return math.inf if self.pool is None else self.pool.room

    async def connect(self) -> asyncpg.Connection:
        """A new connection. Raises DatabaseUnavailable, whatever keeps it from being made."""
        try:
            with self.meanings:
                return await asyncpg.connect(
                    asyncpg_uri(self.uri),
                    timeout=self.settings.connect_timeout,
                    # A little later than the server's own, for when the server can't even say so.
                    command_timeout=self.settings.statement_timeout + 5,
                    server_settings={"application_name": "pamps", **sent(self.settings)},
                )
        except PampsError:
            raise
        except Exception as error:  # what the uri asks for can't be: a setting that the server doesn't know
            raise errors.DatabaseUnavailable() from error

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection beside the pool, for who listens on it. Raises DatabaseUnavailable."""
        connection = await self.connect()
        try:
            yield connection
        finally:
            try:
                await connection.close(timeout=CLOSING)
            except UNAVAILABLE:
                connection.terminate()

    async def close(self) -> None:
        """Let running statements finish, then close every connection; cut off what takes longer than a moment."""
        if self.pool is not None:
            try:
                await asyncio.wait_for(self.pool.close(), CLOSING)
            except TimeoutError:
                self.pool.terminate()

    async def row(self, statement: Statement, **params: Any) -> asyncpg.Record | None:
        """The first row of a statement, or None."""
        return await self.run(statement, statement.arguments(params))

    async def run(self, statement: Statement, arguments: list[Any]) -> asyncpg.Record | None:
        """The same, for arguments in its order."""
        pool = self.pool or await self.open()
        tries = TRIES
        with self.meanings:
            while True:
                try:
                    if statement.patient:
                        return await self.patiently(pool, statement.sql, arguments)
                    async with pool.acquire(statement.urgent) as connection:
                        row: asyncpg.Record | None = await connection.fetchrow(statement.sql, *arguments)
                        return row
                except COLLIDED:  # it has done nothing, and what it was in the way of goes on
                    tries -= 1
                    if not tries:
                        raise

    async def patiently(self, pool: Pool, sql: str, arguments: list[Any]) -> asyncpg.Record | None:
        """The first row of a statement whose work may take long, in a transaction; waiting for a lock may not."""
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = '{PATIENCE}s'")
            row: asyncpg.Record | None = await connection.fetchrow(sql, *arguments, timeout=PATIENCE)
            return row


def sent(settings: Db) -> dict[str, str]:
    """PostgreSQL's settings that each connection is made with; docs/operations.md names them, for PgBouncer."""
    return {
        "statement_timeout": f"{int(settings.statement_timeout * 1000)}ms",
        "lock_timeout": f"{int(settings.lock_timeout * 1000)}ms",
        "idle_in_transaction_session_timeout": f"{IDLE}ms",
        **PLANNING,
    }
