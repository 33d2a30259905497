"""Restoring a backup: all of it and brought up to this version's schema, or nothing at all."""

import io
from pathlib import Path
from typing import IO, NamedTuple

from sqlalchemy import Connection, inspect
from sqlmodel import SQLModel

from pamps import schema, startup
from pamps.commands import counters
from pamps.commands.archive import REVISION, Archive
from pamps.commands.programs import programs_for
from pamps.commands.ready import engine_of, in_one_line, name_of
from pamps.config import Settings
from pamps.errors import BackupError, ConfigurationError, InvalidRequest

# Whose it was, who else might read it and where it was copied to stay behind: that is another machine's business.
OPTIONS = (
    *("--no-owner", "--no-privileges", "--no-comments", "--no-security-labels", "--no-tablespaces"),
    *("--no-publications", "--no-subscriptions", "-f-"),
)
# Lines for psql alone, and a setting that PostgreSQL 16 and older don't have.
LEFT_OUT = (b"\\restrict ", b"\\unrestrict ", b"SET transaction_timeout")


class Restored(NamedTuple):
    """What was restored: the database's name, the revision in the file, and how many counters were set right."""

    name: str
    revision: str
    repaired: int


def restore(settings: Settings, path: Path, force: bool, database: str | None) -> Restored:
    """Restore the backup at `path`; over data only with `force`, and in production only if `database` is its name.

    Raises EmbeddedError, DatabaseUnavailable, BackupError, SchemaBehind, ConfigurationError, InvalidRequest.
    """
    with startup.database(settings) as uri:
        name = name_of(uri, settings)
        if database not in (None, name):
            raise InvalidRequest(f"the database is named {name}, not {database}; nothing was changed")
        archive = Archive(path, programs_for("pg_restore", uri, settings))
        archive.verify()
        if (revision := archive.revision()) not in schema.revisions():
            raise BackupError(
                f"{path} is of the schema {revision}, which this version doesn't know: install the Pamps that wrote it"
            )
        failed = in_one_line("nothing was restored and nothing was changed", BackupError)
        with engine_of(uri, settings) as engine, failed, engine.begin() as connection:
            if has_data(connection):
                refuse_data(name, settings, force, database)
            empty(connection)
            load(connection, archive)
            schema.migrate_within(connection)
            repaired = counters.repair(connection)
            connection.exec_driver_sql("ANALYZE")
    return Restored(name, revision, repaired)


def has_data(connection: Connection) -> bool:
    """Whether there is a row in any table of ours."""
    there = set(inspect(connection).get_table_names()) & set(SQLModel.metadata.tables)
    looks = (f'SELECT EXISTS (SELECT FROM "{table}")' for table in there)  # nosec B608 # the names are the models'
    return any(connection.exec_driver_sql(look).scalar() for look in looks)


def refuse_data(name: str, settings: Settings, force: bool, database: str | None) -> None:
    if not force:
        raise BackupError(f"there is data in the database {name}: say --force to replace all of it by the backup")
    if database is None and settings.env == "production":
        raise ConfigurationError(
            "this is production: say --database NAME to replace what is in the database of that name"
        )


def empty(connection: Connection) -> None:
    """Take away every table of ours. Raises SchemaBehind where they are of a newer version."""
    if schema.current_within(connection) is not None:
        schema.migrate_within(connection, "base")
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {REVISION}")


def load(connection: Connection, archive: Archive) -> None:
    """Run what pg_restore makes of a backup: tables, rows, and then what would slow rows down or count them again."""
    # Not by pg_restore's own connection: this one transaction also takes what was there away and migrates.
    cursor = connection.connection.cursor()
    for section in ("pre-data", "data", "post-data"):
        with archive.script(f"--section={section}", *OPTIONS) as script:
            statements: list[bytes] = []
            for line in script:
                if section == "data" and line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
                    cursor.copy_expert(line, Rows(script))
                elif not line.startswith(LEFT_OUT):
                    statements.append(line)
            cursor.execute(b"".join(statements))
    # The script looks nothing up by its bare name, as the migrations do; and behind PgBouncer the connection is kept.
    cursor.execute("RESET ALL")
    cursor.execute("SET LOCAL statement_timeout = 0")


class Rows(io.RawIOBase):
    """The rows behind a COPY in a script, up to their end."""

    def __init__(self, script: IO[bytes]):
        self.script = script
        self.rest = b""

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none at the end."""
        if not self.rest:
            line = self.script.readline()
            self.rest = b"" if line == b"\\.\n" else line
        piece, self.rest = self.rest[:size], self.rest[size:]
        return piece
