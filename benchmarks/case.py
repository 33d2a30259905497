"""What a case is: the requests that a client sends, and the same statement for pgbench."""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from benchmarks.layout import Layout
from pamps.db.statement import Statement

PAGE = 20
DEEP_PAGE = 1000
JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """One request: what is sent, and as whom (a user's id, which is also their session's)."""

    method: str
    path: str
    user: int | None = None
    body: str = ""
    media_type: str = JSON


@dataclass(frozen=True)
class Place:
    """What the cases need to know of the database that they run on."""

    layout: Layout
    deep_page: int  # 1,000, or half of all pages where there are fewer
    deep_cursor: int

    @property
    def deep_offset(self) -> int:
        return (self.deep_page - 1) * PAGE


Values = dict[str, str]


@dataclass(frozen=True)
class Script:
    """What pgbench does: calculate variables, then run statements with them. An absent parameter is null."""

    variables: Values
    statements: tuple[tuple[Statement, Values], ...]


@dataclass(frozen=True)
class Case:
    """One thing to measure. The textbook answers the same requests unless it has others, or none at all."""

    name: str
    title: str
    requests: Callable[[Place], list[Request]]
    script: Callable[[Place], Script] | None
    in_textbook: bool = True
    textbook_requests: Callable[[Place], list[Request]] | None = None
    writes: bool = False
    shared: bool = False  # many ask for the same, at the same time or again: it may be answered together, or be kept
    by_workers: bool = False  # measured with more workers and with fewer

    def requests_for(self, candidate: str, place: Place) -> list[Request]:
        if candidate == "textbook" and self.textbook_requests:
            return self.textbook_requests(place)
        return self.requests(place)


def look_around(cursor: Cursor, layout: Layout) -> Place:
    """Find page 1,000 of the public list: the cursor is the last id of the page before."""
    listed = "FROM post WHERE parent_id IS NULL AND user_id IS NOT NULL"
    cursor.execute(f"SELECT count(*) {listed}")
    page = min(DEEP_PAGE, number(cursor) // PAGE // 2)
    cursor.execute(f"SELECT id {listed} ORDER BY id DESC LIMIT 1 OFFSET %s", [(page - 1) * PAGE - 1])
    return Place(layout, page, number(cursor))


def number(cursor: Cursor) -> int:
    """The one number that a query has found."""
    row = cursor.fetchone()
    assert row
    return int(row[0])
