"""Keyset pages: the parameters `limit` and `cursor`, and the Link header that leads to the next page (RFC 8288)."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlencode

from asyncpg import Record
from fastapi import Depends, Query, Request
from fastapi.datastructures import URL

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
    scope = request.scope
    here = origin(scope["scheme"], request.headers.get("host"), tuple(scope["server"] or ())) + scope["path"]
    kept = [("cursor", cursor)]
    if scope["query_string"]:
        kept[:0] = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return {"Link": f'<{here}?{urlencode(kept)}>; rel="next"'}


@lru_cache(maxsize=64)  # worked out anew, it would be a twentieth of a list's time in a server process
def origin(scheme: str, host: str | None, server: tuple[Any, ...]) -> str:
    """The beginning of our addresses, as a client calls us."""
    headers = [(b"host", host.encode("latin-1"))] if host is not None else []
    return str(URL(scope={"scheme": scheme, "server": server or None, "path": "", "headers": headers}))
