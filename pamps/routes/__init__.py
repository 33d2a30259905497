"""HTTP in, HTTP out: a file for each noun. A route is one sentence; the statement it names does the work."""

from asyncpg import Record
from fastapi import Response

NO_STORE = {"Cache-Control": "no-store"}  # with every token (RFC 6749, section 5.1)


def json(row: Record, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer whose body PostgreSQL has already written."""
    return Response(row["body"], status, headers, "application/json")
