"""Keyset pages: the parameters `limit` and `cursor`, and the Link header that leads to the next page (RFC 8288)."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from asyncpg import Record
from fastapi import Depends, Query, Request

from pamps.models.shape import DATED_CURSOR, ID_CURSOR, InDigits

LIMIT_MAX = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most."), InDigits]
WHERE_FROM = "Where the page begins, from the `Link` header of the page before. Opaque: don't make one up."
IdCursor = Annotated[str | None, Query(pattern=ID_CURSOR, description=WHERE_FROM)]
DatedCursor = Annotated[str | None, Query(pattern=DATED_CURSOR, description=WHERE_FROM)]


async def page(limit: Limit = 20, cursor: IdCursor = None) -> dict[str, Any]:
    """The parameters of a statement that pages by id."""
    return {"limit": limit, "cursor_id": int(cursor) if cursor else None}


async def dated_page(limit: Limit = 20, cursor: DatedCursor = None) -> dict[str, Any]:
    """The parameters of a statement that pages by date and id."""
    if cursor is None:
        return {"limit": limit, "cursor_date": None, "cursor_id": None}
    microseconds, key = cursor.split("-")
    date = EPOCH + timedelta(microseconds=int(microseconds))
    return {"limit": limit, "cursor_date": date, "cursor_id": int(key)}


Page = Annotated[dict[str, Any], Depends(page)]
DatedPage = Annotated[dict[str, Any], Depends(dated_page)]


def next_link(request: Request, row: Record) -> dict[str, str]:
    """The header that leads to the next page; none at the end."""
    cursor = row["next"]
    if cursor is None:
        return {}
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    here = str(request.url).partition("?")[0]
    return {"Link": f'<{here}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'}
