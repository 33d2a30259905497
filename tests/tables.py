"""What the tables hold, for tests that say: nothing was written."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

NAMES = ("user", "social", "session", "post", "like")


def tables(engine: Engine) -> dict[str, list[str]]:
    """Every row of every table, as JSON."""
    with engine.connect() as connection:
        return {
            name: list(connection.scalars(text(f'SELECT to_json(t)::text AS row FROM "{name}" AS t ORDER BY row')))
            for name in NAMES
        }


@contextmanager
def unchanged(engine: Engine) -> Iterator[None]:
    """Fails the test if anything is written meanwhile."""
    before = tables(engine)
    yield
    assert tables(engine) == before
