"""The database: a pool of asyncpg connections to serve from, statements to run on it, and what its errors mean.

The synchronous tools (migrations, the shell, test factories) take `engine`, which is psycopg2's.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import asyncpg
from sqlalchemy import BindParameter, Engine, Executable, create_engine
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from pamps import errors
from pamps.config import Db
from pamps.errors import PampsError
from pamps.pool import Pool
from pamps.recent import Recent

PATIENCE = 3600  # seconds
IDLE = 10_000  # milliseconds that a transaction may do nothing: its process stands still, and its locks are in the way
TRIES = 3  # of a statement that collides with others
CLOSING = 3  # seconds; requests have had theirs, server.shutdown_timeout, before
# What asyncpg (connect_utils.py) or the server, for `options`, makes of what stands after the ? of a uri. Anything else
# asyncpg would send to the server as a setting, to be refused there.
KNOWN_TO_ASYNCPG = {
    *("host", "port", "dbname", "user", "password", "passfile", "service", "target_session_attrs", "options"),
    *("krbsrvname", "gsslib", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"),
    *("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
}
PLANNING = {
    "jit": "off",  # compiling costs more than any of our statements
    "plan_cache_mode": "force_generic_plan",  # planning a statement anew would take longer than most of them take
}
# Who asks, as security.Claim has it: the ids of a user and of a session, what proves a personal token, and the scopes.
Claimed = tuple[int, int, bytes | None, frozenset[str]]
NOBODY = (None, None, None)
VOUCHED = 65_536  # sessions
DIALECT = asyncpg_dialect()  # type: ignore[no-untyped-call]


class Compiler(DIALECT.statement_compiler):  # type: ignore[misc, name-defined]
    """Writes the plain Python values of a query into its SQL; only named parameters become $1, $2, ..."""

    def visit_bindparam(self, bindparam: BindParameter[Any], **options: Any) -> Any:
        options["literal_binds"] = not bindparam.required
        return super().visit_bindparam(bindparam, **options)


DIALECT.statement_compiler = Compiler


class Statement:
    """One SQL statement, compiled once. It knows its parameters' names; a missing or an unknown one is a TypeError.

    The columns of its row have fixed meanings: `body` is the JSON to answer with, null where there is nothing to show
    (then `missing` is raised); `refused` is the code of an error to raise; `next` is the cursor of the next page.
    A `patient` one may take longer than `db.statement_timeout`, because what it touches grows with what there is.
    An `aside` one stands, whatever becomes of the request: it is in no transaction with what follows.
    An `urgent` one is not refused because others wait for a connection already, and gets one before them.
    """

    def __init__(
        self,
        query: Executable,
        missing: type[PampsError] = errors.NotFound,
        patient: bool = False,
        aside: bool = False,
        urgent: bool = False,
    ):
        compiled = query.compile(dialect=DIALECT)  # type: ignore[attr-defined]
        self.sql = str(compiled)
        self.missing = missing
        self.patient = patient
        self.aside = aside
        self.urgent = urgent
        self.order: tuple[str, ...] = tuple(compiled.positiontup or ())
        self.names = frozenset(self.order)

    def arguments(self, params: Mapping[str, Any]) -> list[Any]:
        """The values in the order of $1, $2, ..."""
        if params.keys() != self.names:
            raise TypeError(f"this statement takes {sorted(self.names)}, not {sorted(params)}")
        return [params[name] for name in self.order]


CONSTRAINTS: dict[str, type[PampsError]] = {
    "user_username_key": errors.UsernameTaken,
    "user_username_reserved_check": errors.UsernameReserved,
    "user_email_key": errors.EmailTaken,
    "user_last_admin": errors.LastAdmin,
    "session_name_key": errors.TokenNameTaken,
    "session_not_too_many": errors.TooManyTokens,
    "social_not_self_check": errors.SelfFollow,
    "social_followed_id_fkey": errors.UserNotFound,
    "like_post_id_fkey": errors.PostNotFound,
    "like_post_alive": errors.PostNotFound,
    "post_parent_id_fkey": errors.ParentNotFound,
    "post_parent_alive": errors.ParentNotFound,
    "post_not_own_parent_check": errors.ParentNotFound,
    # The viewer's account went while the statement ran.
    "social_follower_id_fkey": errors.SessionEnded,
    "like_user_id_fkey": errors.SessionEnded,
    "post_user_id_fkey": errors.SessionEnded,
    "idempotency_key_user_id_fkey": errors.SessionEnded,
    "idempotency_key_pkey": errors.IdempotencyKeyInUse,
}

BY_CODE = {
    error.code: error
    for error in (
        *(errors.PostNotFound, errors.UserNotFound, errors.NotTheAuthor, errors.NotAllowed),
        *(errors.EmailVerified, errors.MailedAlready, errors.TwoFactorOn),
    )
}

UNAVAILABLE = (
    OSError,  # no server at that address, the connection broke, or nothing came in time (TimeoutError)
    asyncpg.InterfaceError,  # the connection was closed under us
    asyncpg.InternalClientError,  # the same, found out between the server's farewell and the end of the connection
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, crashed
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.PostgresSystemError,  # the server's own I/O failed
    asyncpg.IdleInTransactionSessionTimeoutError,  # we stood still, and held up others
)
COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
BUSY = (
    asyncpg.QueryCanceledError,  # statement_timeout
    asyncpg.LockNotAvailableError,  # lock_timeout
    *COLLIDED,
)
SCHEMA_BEHIND = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError)


def meaning(error: Exception) -> PampsError | None:
    """What an error of the database means to a client; None where it is our own mistake."""
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        refusal = CONSTRAINTS.get(error.constraint_name or "")
        return refusal() if refusal else None
    if isinstance(error, BUSY):
        return errors.DatabaseBusy()
    if isinstance(error, UNAVAILABLE):
        return errors.DatabaseUnavailable()
    if isinstance(error, SCHEMA_BEHIND):
        return errors.SchemaBehind()
    return None


class Runner:
    """What runs statements: each by itself, as `Database` does, or several in a transaction (idempotency.py).

    `vouched` is whether a session was found alive, by the ids and the proof of a claim: noted of personal tokens, whose
    text alone tells nothing, and of whatever has ended. `used` has the sessions of personal tokens, and when they were
    last used, in seconds since the epoch; uses.py writes it to the database.
    """

    vouched: Recent[tuple[int | None, int | None, bytes | None], bool]
    used: dict[int, float]

    async def row(self, statement: Statement, **params: Any) -> asyncpg.Record | None:
        """The first row of a statement, or None."""
        raise NotImplementedError

    async def one(self, statement: Statement, viewer: Claimed | None = None, **params: Any) -> asyncpg.Record:
        """The row of a statement that verifies the viewer's session.

        Raises SessionEnded where there is no row, what `refused` names, the statement's `missing` for a null `body`.
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
            raise BY_CODE[refused]()
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
        """The pool. Raises DatabaseUnavailable, whatever keeps it from being opened."""
        if self.pool is None:
            async with self.opening:
                if self.pool is None:
                    try:
                        with self.meanings:
                            pool = Pool(
                                self.connect,
                                self.settings.pool_min_size,
                                self.settings.pool_size,
                                self.settings.max_waiting,
                                self.settings.wait_timeout,
                            )
                            await pool.fill()
                            self.pool = pool
                    except PampsError:
                        raise
                    except Exception as error:  # what the uri asks for can't be: a setting that the server doesn't know
                        raise errors.DatabaseUnavailable() from error
        return self.pool

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            asyncpg_uri(self.uri),
            timeout=self.settings.connect_timeout,
            # A little later than the server's own, for when the server can't even say so.
            command_timeout=self.settings.statement_timeout + 5,
            server_settings={
                "application_name": "pamps",
                "statement_timeout": str(int(self.settings.statement_timeout * 1000)),
                "lock_timeout": str(int(self.settings.lock_timeout * 1000)),
                "idle_in_transaction_session_timeout": str(IDLE),
                **PLANNING,
            },
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection beside the pool, for who listens on it. Raises DatabaseUnavailable."""
        with self.meanings:
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
        arguments = statement.arguments(params)
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
        """The first row of a statement whose work may take long, in a transaction of its own."""
        async with pool.acquire() as connection, connection.transaction():
            return await patiently(connection, sql, arguments)


async def patiently(connection: Any, sql: str, arguments: list[Any]) -> asyncpg.Record | None:
    """The first row of a statement whose work may take long, in a transaction; waiting for somebody's lock may not."""
    await connection.execute(f"SET LOCAL statement_timeout = '{PATIENCE}s'")
    row: asyncpg.Record | None = await connection.fetchrow(sql, *arguments, timeout=PATIENCE)
    return row


class Meanings:
    """Turns the database's errors into ours. `lost` tells whoever can do something about it that it is out of reach."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and (refusal := meaning(error)):
            if isinstance(refusal, errors.DatabaseUnavailable):
                self.lost.set()
            raise refusal from error


def asyncpg_uri(uri: str) -> str:
    """A uri as asyncpg takes it, whatever driver it names: without what only libpq has a word for."""
    address, _, query = re.sub(r"^\w+(\+\w+)?://", "postgresql://", uri).partition("?")
    known = [(name, value) for name, value in parse_qsl(query) if name in KNOWN_TO_ASYNCPG]
    return f"{address}?{urlencode(known, quote_via=quote)}" if known else address


def engine(uri: str, **options: Any) -> Engine:
    """A SQLAlchemy engine over psycopg2. (A plain postgresql:// would mean psycopg 3 to SQLAlchemy.)"""
    return create_engine(re.sub(r"^\w+(\+\w+)?://", "postgresql+psycopg2://", uri), **options)
