"""When personal tokens were last used: noted in the process with each request, written to the database now and then."""

import asyncio
from datetime import UTC, datetime

from pamps.db.database import Database
from pamps.errors import PampsError
from pamps.middleware.problems import log
from pamps.queries import token as tokens

BETWEEN_WRITES = 60.0  # seconds


async def write_regularly(database: Database) -> None:
    """Write what was noted, once a minute."""
    while True:
        await asyncio.sleep(BETWEEN_WRITES)
        await write(database)


async def write(database: Database) -> None:
    """Write what was noted. If the database is away it stays noted, for the next time."""
    noted = database.used.copy()
    if not noted:
        return
    database.used.clear()
    times = [datetime.fromtimestamp(time, UTC) for time in noted.values()]
    try:
        await database.row(tokens.note_uses, ids=list(noted), times=times)
    except PampsError as error:
        for session, time in noted.items():
            database.used.setdefault(session, time)
        log.warning("when personal tokens were last used is not written: %s", error.detail)
