"""What the tables hold, for tests that say: nothing was written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, inspect, text

NAMES = ("user", "social", "session", "post", "like", "link", "pgqueuer", "idempotency_key", "two_factor")
# Of the session of a personal token, which has a name, when it was last used is written once a minute, in whatever test
# that is. (In the first of our schemas no session has one.)
ROWS = {"session": "CASE WHEN to_jsonb(t) ->> 'name' IS NULL THEN to_jsonb(t) ELSE to_jsonb(t) - 'last_used_at' END"}


def tables(engine: Engine) -> dict[str, list[str]]:
    """Every row of every table that there is, as JSON."""
    found = {}
    with engine.connect() as connection:
        there = set(inspect(connection).get_table_names())
        for name in NAMES:
            if name in there:
                row = ROWS.get(name, "to_jsonb(t)")
                query = f'SELECT ({row})::text AS row FROM "{name}" AS t ORDER BY row'
                found[name] = list(connection.scalars(text(query)))
    return found


@contextmanager
def unchanged(engine: Engine) -> Iterator[None]:
    """Fails the test if anything is written meanwhile. A mail that was in the queue before may be on its way."""
    before = tables(engine)
    yield
    after = tables(engine)
    mails, mails_before = ({json.loads(row)["id"] for row in found.pop("pgqueuer", [])} for found in (after, before))
    assert mails <= mails_before
    assert after == before
