"""Is the database ready: its schema's revision."""

from sqlalchemy import column, select, table

from pamps.db import Statement

revision = Statement(select(column("version_num")).select_from(table("alembic_version")))
