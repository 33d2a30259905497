"""How Alembic runs the migrations: over the connection that schema.py hands it, one server at a time.

The command `alembic`, which makes a new one (CONTRIBUTING.md), hands over none: it works on the settings' database.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from string import ascii_lowercase
from typing import Any

from alembic import context
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

import pamps.models  # noqa: F401  # so that the metadata knows every table
from pamps import schema, startup
from pamps.db import drivers
from pamps.loading import current_settings

# Any number that nothing else in the database uses: two servers that start at once migrate one after the other.
LOCK = 7_246_773_001
NAME_MAX = 32  # characters; what Alembic's own table holds


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        transaction_per_migration=False,
        process_revision_directives=name,
        include_name=schema.ours,
        on_version_apply=lambda step, **_: context.config.attributes.get("done", []).append(step),
    )
    with context.begin_transaction():
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        context.run_migrations()


def name(context: MigrationContext, revision: Any, scripts: Iterable[MigrationScript]) -> None:
    """Name a new migration by its date and what it does, so that it comes last: 2026_12_24_, or 2026_12_24b_."""
    for script in scripts:
        slug = re.sub(r"\W+", "_", (script.message or "").lower())
        dated = (f"{datetime.now(UTC):%Y_%m_%d}{letter}_{slug}" for letter in ["", *ascii_lowercase[1:]])
        script.rev_id = next(one for one in dated if one > schema.head())[:NAME_MAX].rstrip("_")


if connection := context.config.attributes.get("connection"):
    migrate(connection)
else:
    with startup.database(current_settings()) as uri, drivers.engine(uri).connect() as connection:
        migrate(connection)
