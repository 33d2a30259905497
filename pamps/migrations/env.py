"""How Alembic runs the migrations: over the connection that schema.py hands it, one server at a time."""

from alembic import context
from sqlmodel import SQLModel

import pamps.models  # noqa: F401  # so that the metadata knows every table

# Any number that nothing else in the database uses: two servers that start at once migrate one after the other.
LOCK = 7_246_773_001


def migrate() -> None:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=SQLModel.metadata, transaction_per_migration=False)
    with context.begin_transaction():
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        context.run_migrations()


migrate()
