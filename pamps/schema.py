"""The schema's revision: which one this version needs, which one a database has, and migrating between them."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from pamps.errors import SchemaBehind

SCRIPTS = Path(__file__).with_name("migrations")


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def head() -> str:
    """The revision that this version of Pamps needs."""
    revision = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert revision is not None, "the package carries its migrations"
    return revision


def revisions() -> list[str]:
    """Every revision that this version of Pamps knows, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the database up to `revision`, or down to it if that is where it lies; `base` empties it.

    All steps in one transaction: a step that fails leaves the schema as it was. Raises SchemaBehind where the schema is
    of a revision that this version does not know.
    """
    with engine.begin() as connection:
        migrate_within(connection, revision)


def migrate_within(connection: Connection, revision: str = "head") -> None:
    """The same, as part of the connection's transaction."""
    config = alembic_config()
    config.attributes["connection"] = connection
    known, now = revisions(), current_within(connection)
    if now not in (None, *known):
        raise SchemaBehind(f"the database's schema is {now}, of a Pamps that is newer than this one: install that")
    below = revision == "base" or (now in known and revision in known[known.index(now) + 1 :])
    (command.downgrade if below else command.upgrade)(config, revision)


def current(engine: Engine) -> str | None:
    """The revision that a database is at; None where there is none yet."""
    with engine.connect() as connection:
        return current_within(connection)


def current_within(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()
