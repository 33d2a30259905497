"""The counters in the tables, which triggers keep, against a recount."""

from psycopg2.extensions import TransactionRollbackError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from pamps.errors import DatabaseBusy

TRIES = 10

# Table, counter, and what it should be for each row that has any: its id and a count.
COUNTERS = [
    ("user", "post_count", "SELECT user_id, count(*) FROM post WHERE user_id IS NOT NULL GROUP BY user_id"),
    ("user", "follower_count", "SELECT followed_id, count(*) FROM social GROUP BY followed_id"),
    ("user", "following_count", "SELECT follower_id, count(*) FROM social GROUP BY follower_id"),
    ("post", "like_count", 'SELECT post_id, count(*) FROM "like" GROUP BY post_id'),
    (
        "post",
        "reply_count",
        "SELECT parent_id, count(*) FROM post WHERE parent_id IS NOT NULL AND user_id IS NOT NULL GROUP BY parent_id",
    ),
]
WRONG = """
    SELECT id, coalesce(amount, 0) AS amount FROM "{table}" LEFT JOIN ({count}) AS counted (whose, amount) ON whose = id
    WHERE {counter} <> coalesce(amount, 0)
"""


def wrong(connection: Connection) -> dict[str, int]:
    """How many rows of each counter are not what counting gives; of one moment. Only those that are wrong are named."""
    parts = [
        f"SELECT '{table}.{counter}', count(*) "  # nosec B608 # made of COUNTERS alone, as below
        f"FROM ({WRONG.format(table=table, counter=counter, count=count)}) AS w"
        for table, counter, count in COUNTERS
    ]
    rows = connection.exec_driver_sql(" UNION ALL ".join(parts))
    return {name: count for name, count in rows if count}


def repair(connection: Connection) -> int:
    """Set them right: how many were not. In a REPEATABLE READ transaction the service may go on writing.

    There a row that somebody has counted up or down since the transaction began is a serialization failure. One that
    nobody has is right now, and whatever is being written will be added to that.
    """
    repaired = 0
    for table, counter, count in COUNTERS:
        found = WRONG.format(table=table, counter=counter, count=count)
        update = (
            f'UPDATE "{table}" SET {counter} = wrong.amount '  # nosec B608 # the names are those above
            f'FROM ({found}) AS wrong WHERE "{table}".id = wrong.id'
        )
        repaired += connection.exec_driver_sql(update).rowcount
    return repaired


def repair_while_served(engine: Engine) -> int:
    """The same in a transaction of its own, again if somebody was in its way. Raises DatabaseBusy."""
    for _ in range(TRIES):
        connection = engine.connect().execution_options(isolation_level="REPEATABLE READ")
        try:
            with connection, connection.begin():
                return repair(connection)
        except DBAPIError as error:
            if not isinstance(error.orig, TransactionRollbackError):
                raise
    raise DatabaseBusy(f"counters that are wrong were changed all the time ({TRIES} tries); try again")
