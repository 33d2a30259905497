"""What the tables hold, for tests that say: nothing was written."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, inspect, text

NAMES = ("user", "social", "session", "post", "like", "link", "pgqueuer", "idempotency_key", "two_factor")


def tables(engine: Engine) -> dict[str, list[str]]:
    """Every row of every table that there is, as JSON."""
    with engine.connect() as connection:
        there = set(inspect(connection).get_table_names())
        return {
            name: list(connection.scalars(text(f'SELECT to_json(t)::text AS row FROM "{name}" AS t ORDER BY row')))
            for name in NAMES
            if name in there
        }


@contextmanager
def unchanged(engine: Engine) -> Iterator[None]:
    """Fails the test if anything is written meanwhile."""
    before = tables(engine)
    yield
    assert tables(engine) == before
