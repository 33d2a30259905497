"""A thousandth of the benchmark's network, and what is in it."""

from typing import Any

from benchmarks import data
from benchmarks.ground import Ground
from benchmarks.layout import Layout

LAYOUT = Layout(0.001)
TABLES = ('"user"', "social", "post", '"like"', "session")


def rows(uri: str, query: str) -> list[Any]:
    with data.connected(uri) as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def value(ground: Ground, query: str) -> Any:
    return rows(ground.uri, f"SELECT ({query})")[0][0]


def fingerprint(uri: str) -> dict[str, Any]:
    """Of each table, so that another row gives another one."""
    return {
        table: rows(uri, f"SELECT count(*), sum(hashtextextended(one::text, 0)) FROM {table} AS one")[0]
        for table in TABLES
    }
