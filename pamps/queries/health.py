"""Is the database ready: its schema's revision. And how much mail waits in it."""

from typing import Any

from sqlalchemy import Select, column, func, literal_column, select, table

from pamps.db.statement import Statement

revision = Statement(select(column("version_num")).select_from(table("alembic_version")), urgent=True)

MAIL_COUNTED = 10_000  # at most: more is too much, however much it is
queued: Select[Any] = (
    select(column("id")).select_from(table("pgqueuer")).where(column("status") == literal_column("'queued'"))
)
mail_waiting = Statement(select(func.count().label("waiting")).select_from(queued.limit(MAIL_COUNTED).subquery()))
