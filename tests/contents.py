"""All that a database holds, to be compared with another; and something to hold."""

from typing import Any

import psycopg2

from pamps.db import drivers
from tests.commands import Commands

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname"
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY sequencename"
SCHEMA = """
    SELECT pg_get_indexdef(indexrelid) AS def FROM pg_index WHERE indrelid::regclass::text !~ '^pg_'
    UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY def
"""
# What COPY has to write in a way of its own.
ODD = [
    "\\.",
    "a\n\\.\nb",
    "\\N",
    "tab\tand \\t",
    "cr\rlf\r\n",
    "\\",
    "\x01\x7f",
    "'; --",
    "日本語 🎉",
    "\u2028",
    "x" * 5000,
]
WORN = """
    DELETE FROM "user" WHERE mod(id, 7) = 3;
    UPDATE post SET user_id = NULL WHERE mod(id, 11) = 0;
    DELETE FROM "like" WHERE mod(user_id + post_id, 5) = 0;
    UPDATE post SET text = text || '!', edited_at = clock_timestamp() WHERE user_id IS NOT NULL AND mod(id, 9) = 0;
    INSERT INTO session (user_id, expires_at, family_hash, token_hash)
        SELECT id, now(), sha256(username::bytea), sha256(email::bytea) FROM "user"
"""


def contents(uri: str) -> dict[str, Any]:
    """Every row of every table, where each sequence stands, and what the schema is made of."""
    connection = psycopg2.connect(drivers.asyncpg_uri(uri))
    try:
        with connection, connection.cursor() as cursor:

            def rows(query: str) -> list[tuple[Any, ...]]:
                cursor.execute(query)
                return cursor.fetchall()

            found: dict[str, Any] = {
                name: rows(f'SELECT t::text FROM "{name}" AS t ORDER BY 1') for (name,) in rows(TABLES)
            }
            return found | {"its sequences": rows(SEQUENCES), "its schema": rows(SCHEMA)}
    finally:
        connection.close()


def fill(pamps: Commands, seed: int = 7) -> None:
    """People and posts that have seen something: edits, tombstones, people who left, characters of every kind."""
    pamps("demo", "--users", "30", "--posts", "200", "--seed", str(seed))
    for text in ODD:
        pamps.sql('INSERT INTO post (user_id, text) SELECT min(id), %s FROM "user"', text)
    pamps.sql(WORN)
