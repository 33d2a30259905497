"""The schema's revision: which one this version needs, which one a database has, and migrating between them."""

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from pamps.errors import SchemaBehind

SCRIPTS = Path(__file__).with_name("migrations")


@cache
def revisions() -> tuple[str, ...]:
    """Every revision that this version of Pamps knows, the newest first: their names begin with their dates.

    Alembic reads them too, but costs each server process 9 MB and each command a third of a second.
    """
    return tuple(sorted((file.stem for file in (SCRIPTS / "versions").glob("[0-9]*.py")), reverse=True))


def head() -> str:
    """The revision that this version of Pamps needs."""
    return revisions()[0]


def behind(found: str | None) -> SchemaBehind:
    """What to do about a schema at another revision than this version's; None where there is none yet."""
    if found in (None, *revisions()):
        at = f"at {found}" if found else "not there yet"
        return SchemaBehind(f"the schema is {at}, this version needs {head()}; run: pamps migrate")
    return SchemaBehind(f"the database's schema is {found}, of a Pamps that is newer than this one: install that")


def is_below(revision: str, now: str | None) -> bool:
    """Whether a revision lies below the one that a schema is at."""
    known = revisions()
    return now in known and (revision == "base" or revision in known[known.index(now) + 1 :])


def ours(name: str | None, kind: str, parents: Any) -> bool:
    """Whether something in a database is for the models to know (Alembic's include_name): pgqueuer's tables are not."""
    return not (kind == "table" and name and name.startswith("pgqueuer"))


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the database up to `revision`, or down to it if that is where it lies; `base` empties it.

    All steps in one transaction: a step that fails leaves the schema as it was. Raises SchemaBehind where the schema is
    of a revision that this version does not know; of what the database refuses, `detail` names the step.
    """
    with engine.begin() as connection:
        migrate_within(connection, revision)


def migrate_within(connection: Connection, revision: str = "head") -> None:
    """The same, as part of the connection's transaction."""
    known, now = revisions(), current_within(connection)
    if now not in (None, *known):
        raise behind(now)
    if now == (head() if revision == "head" else revision):
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    done: list[object] = []  # env.py adds each step that is
    config.attributes.update(connection=connection, done=done)
    below = is_below(revision, now)
    try:
        (command.downgrade if below else command.upgrade)(config, revision)
    except DBAPIError as error:
        before = known.index(now) if now else len(known)
        error.add_detail(f"from {known[before + len(done)]}" if below else f"to {known[before - 1 - len(done)]}")
        raise


def current(engine: Engine) -> str | None:
    """The revision that a database is at; None where there is none yet."""
    with engine.connect() as connection:
        return current_within(connection)


def current_within(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return found
