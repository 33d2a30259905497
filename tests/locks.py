"""Statements that wait for a lock, as the server tells of them."""

from sqlalchemy import Engine, text

from tests.watched import until

WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pamps' AND wait_event_type = 'Lock'
"""


def until_waiting(engine: Engine, count: int = 1) -> None:
    """Return once so many statements wait; fails the test if that takes too long."""
    # Each look a transaction of its own: within one, the server tells what it told at the first.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        until(lambda: len(other.execute(text(WAITING)).all()) == count)
