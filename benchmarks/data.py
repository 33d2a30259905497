"""Makes the benchmark's network in a migrated database: heavy-tailed, always the same for a seed, in minutes.

PostgreSQL makes the rows itself, by INSERT ... SELECT over hash functions. While that goes on there are no indexes, no
keys and no triggers: a trigger's counting is quadratic when it all happens in one transaction. The counters are counted
once and inserted with their rows. Then keys, foreign keys and indexes are made as they were, which checks every row.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import quote_ident
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import network
from benchmarks.layout import Layout
from pamps.db.drivers import asyncpg_uri

# By name, so that a row of pg_class, which a type's name is too, is not taken for one.
TABLES = """
    SELECT oid FROM pg_class
    WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname <> 'alembic_version'
"""
# Keys before the foreign keys that need them.
CONSTRAINTS = f"""
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND conrelid IN ({TABLES})
    ORDER BY contype = 'f', conname
"""
INDEXES = f"""
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid IN ({TABLES}) AND indexrelid NOT IN (SELECT conindid FROM pg_constraint WHERE contype IN ('p', 'u'))
    ORDER BY 1
"""
SESSION = """
    SET work_mem = '256MB';
    SET maintenance_work_mem = '512MB';
    SET synchronous_commit = off;
    SET jit = off;
    SET statement_timeout = 0;
    SET client_min_messages = warning;
"""


@contextmanager
def connected(uri: str) -> Iterator[Cursor]:
    """A connection that commits each statement."""
    connection = psycopg2.connect(asyncpg_uri(uri))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def make(uri: str, layout: Layout, password_hash: str, console: Console | None = None) -> None:
    """Empty a migrated database and fill it with the network; everybody has the one password. Progress on `console`."""
    with showing(console) as progress, connected(uri) as cursor:
        cursor.execute(SESSION)
        cursor.execute("BEGIN")
        tables = names(cursor, f"SELECT oid::regclass::text FROM ({TABLES}) AS found ORDER BY 1")
        cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
        with bare(cursor, tables, progress):
            for step in network.steps(layout, password_hash):
                run(cursor, step, progress)
        cursor.execute("COMMIT")
        for table in progress.track(tables, description="vacuuming"):
            cursor.execute(f"VACUUM (ANALYZE) {table}")


@contextmanager
def showing(console: Console | None) -> Iterator[Progress]:
    columns = (TextColumn("{task.description:>22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=console is None) as progress:
        yield progress


def run(cursor: Cursor, step: network.Step, progress: Progress) -> None:
    """A step of the making, in pieces, so that there is progress to show."""
    task = progress.add_task(step.title, total=step.count)
    size = max(1000, -(-step.count // step.pieces))
    for first in range(1, step.count + 1, size):
        last = min(first + size - 1, step.count)
        cursor.execute(step.sql, {"first": first, "last": last, **step.values})
        progress.update(task, completed=last)


@contextmanager
def bare(cursor: Cursor, tables: list[str], progress: Progress) -> Iterator[None]:
    """Without keys, indexes and triggers for as long as this lasts; afterwards with all of them, as they were."""
    cursor.execute(CONSTRAINTS)
    constraints = [(table, quote_ident(name, cursor), definition) for table, name, definition in cursor.fetchall()]
    cursor.execute(INDEXES)
    indexes = cursor.fetchall()
    for table in tables:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for table, name, _ in reversed(constraints):
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    yield
    remake = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}" for table, name, definition in constraints]
    for statement in progress.track([*(definition for _, definition in indexes), *remake], description="indexes, keys"):
        cursor.execute(statement)
    for table in tables:
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def names(cursor: Cursor, query: str) -> list[str]:
    cursor.execute(query)
    return [row[0] for row in cursor.fetchall()]


def wrong_counters(uri: str, layout: Layout) -> list[str]:
    """What a recount of a sample finds wrong with the counters; nothing, it is to be hoped."""
    found: list[str] = []
    sample = {"every": max(1, layout.users // 500), "hot": layout.hot_post}
    with connected(uri) as cursor:
        for table, counter, recount, more in network.COUNTERS:
            cursor.execute(
                f"SELECT id FROM {table} AS counted WHERE (id %% %(every)s = 1 OR {more}) AND {counter} <> ({recount})",
                sample,
            )
            found += [f"{counter} of {table} {row[0]}" for row in cursor.fetchall()]
    return found
