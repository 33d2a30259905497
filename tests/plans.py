"""What a statement touches: the plan that PostgreSQL makes of it, and what running it reads, by its triggers too."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import RealDictCursor

from pamps.db.database import PLANNING
from pamps.db.drivers import asyncpg_uri
from pamps.db.statement import Statement

# What the transaction has done so far, whoever did it: the statement itself, its functions, triggers or foreign keys.
SO_FAR = """
    SELECT relname, relkind::text, pg_stat_get_xact_numscans(oid) AS scans,
        pg_stat_get_xact_blocks_fetched(oid) AS buffers
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
"""


class Touched(NamedTuple):
    """What running a statement took."""

    whole: set[str]  # tables that were read from end to end, or would be in a branch of the plan
    indexes: set[str]  # that were searched
    buffers: int  # pages of tables and indexes that were asked for


class Planner:
    """A connection that plans as the service's do where no whole table is worth reading. Nothing is ever committed."""

    def __init__(self, connection: Connection):
        self.connection = connection

    def row(self, statement: Statement, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """The first row of a statement."""
        with self.prepared(statement, params) as (cursor, execute):
            cursor.execute(execute)
            return cursor.fetchone()

    def touched(self, statement: Statement, params: Mapping[str, Any]) -> Touched:
        """What a statement takes once it and all that it sets off have been planned, which reads indexes too.

        The lesser of two runs: one may be that which splits a full page of an index, or looks for a page with room.
        """
        with self.prepared(statement, params) as (cursor, execute):
            once(cursor, execute)
            return min((once(cursor, execute) for _ in range(2)), key=lambda touched: touched.buffers)

    def clear_up(self) -> None:
        """Throw away the versions of rows that have been undone, or statements would read these too.

        Reading throws them away as well, but not while anybody on the server has an older snapshot, in any database.
        """
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute("VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF)")
        self.connection.autocommit = False

    @contextmanager
    def prepared(self, statement: Statement, params: Mapping[str, Any]) -> Iterator[tuple[RealDictCursor, str]]:
        """A cursor in a transaction that is rolled back, and the EXECUTE that runs a statement there."""
        with self.connection.cursor(cursor_factory=RealDictCursor) as cursor:
            try:
                cursor.execute("DEALLOCATE ALL")
                cursor.execute(f"PREPARE it AS {statement.sql}")
                values = b", ".join(cursor.mogrify("%s", [value]) for value in statement.arguments(params)).decode()
                yield cursor, f"EXECUTE it ({values})" if values else "EXECUTE it"
            finally:
                self.connection.rollback()


class Count(NamedTuple):
    """Of a table or an index: how often it was scanned (a table: from end to end), and how many of its pages."""

    is_table: bool
    scans: int
    buffers: int


def once(cursor: RealDictCursor, execute: str) -> Touched:
    """What running a statement takes; it is undone."""
    cursor.execute("SAVEPOINT before")
    before = so_far(cursor)
    cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {execute}")
    explained = cursor.fetchone()
    after = so_far(cursor)
    cursor.execute("ROLLBACK TO before")
    assert explained
    return taken(before, after, whole_tables(explained["QUERY PLAN"]))


def so_far(cursor: RealDictCursor) -> dict[str, Count]:
    cursor.execute(SO_FAR)
    return {row["relname"]: Count(row["relkind"] == "r", row["scans"], row["buffers"]) for row in cursor.fetchall()}


def taken(before: dict[str, Count], after: dict[str, Count], whole: set[str]) -> Touched:
    scanned = {name for name, count in after.items() if count.scans > before[name].scans}
    tables = {name for name in scanned if after[name].is_table}
    buffers = sum(count.buffers - before[name].buffers for name, count in after.items())
    return Touched(whole | tables, scanned - tables, buffers)


def whole_tables(plan: Any) -> set[str]:
    """The tables that a plan reads from end to end."""
    if isinstance(plan, list):
        return set[str]().union(*map(whole_tables, plan))
    if not isinstance(plan, dict):
        return set()
    own = {plan["Relation Name"]} if plan.get("Node Type") == "Seq Scan" else set()
    return own.union(*map(whole_tables, plan.values()))


@contextmanager
def planner(uri: str) -> Iterator[Planner]:
    options = " ".join(f"-c {name}={value}" for name, value in {**PLANNING, "enable_seqscan": "off"}.items())
    connection = psycopg2.connect(asyncpg_uri(uri), options=options)
    try:
        yield Planner(connection)
    finally:
        connection.close()
