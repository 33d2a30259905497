"""What must be there before Pamps can serve or a command can run: a database, its schema, a secret to sign with."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from pamps import embedded, schema
from pamps.config import Settings
from pamps.db import drivers
from pamps.errors import ConfigurationError, DatabaseUnavailable

RETRY_AFTER = 0.5  # seconds
log = logging.getLogger("pamps")


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The uri of the database: the one that is configured, or else the embedded one, running for as long as this lasts.

    Raises EmbeddedError.
    """
    if settings.db.uri:
        yield settings.db.uri
    else:
        with embedded.running(settings.db.directory) as uri:
            yield uri


def revive(settings: Settings) -> None:
    """Start the embedded PostgreSQL again, if it has gone under those who use it. Raises EmbeddedError."""
    with embedded.running(settings.db.directory):
        log.warning("the embedded PostgreSQL is up again")


def with_secret(settings: Settings) -> Settings:
    """The settings with a secret to sign with: a generated one where none is configured, which production refuses."""
    if settings.security.secret_key:
        return settings
    key = embedded.secret_key(settings.db.directory)
    return settings.model_copy(update={"security": settings.security.model_copy(update={"secret_key": key})})


def wait_for_database(uri: str, settings: Settings) -> None:
    """Return once the database answers. Raises DatabaseUnavailable after `db.startup_timeout`."""
    timeout = settings.db.startup_timeout
    deadline = time.monotonic() + timeout
    engine = drivers.engine(uri, connect_args={"connect_timeout": max(1, int(settings.db.connect_timeout))})
    try:
        for attempt in count():
            try:
                engine.connect().close()
                return
            except DBAPIError as error:
                reason = first_line(error.orig)
                # Any other error is of the uri, and stays.
                if time.monotonic() >= deadline or not isinstance(error, OperationalError):
                    raise DatabaseUnavailable(f"the database can't be reached: {reason}") from error
            if attempt == 0:
                log.warning("waiting %g seconds at most for the database: %s", timeout, reason)
            time.sleep(RETRY_AFTER)
    finally:
        engine.dispose()


def migrate(uri: str, revision: str = "head") -> None:
    """Bring the schema to a revision. Raises ConfigurationError for an encoding we can't use, DatabaseUnavailable."""
    engine = drivers.engine(uri)
    try:
        if revision == "head":
            check_letters(engine)
        schema.migrate(engine, revision)
    except DBAPIError as error:
        raise DatabaseUnavailable(f"the database refused to migrate{where(error)}: {first_line(error.orig)}") from error
    finally:
        engine.dispose()


def where(error: DBAPIError) -> str:
    """The step that a migration failed at, if it had come to one."""
    return "".join(f" {step}" for step in error.detail)


def check_letters(engine: Engine) -> None:
    """Refuse a database that can't hold every text; warn of one that folds the case of ASCII alone."""
    with engine.connect() as connection:
        name, encoding = connection.exec_driver_sql("SELECT current_database(), getdatabaseencoding()").one()
        if encoding != "UTF8":
            raise ConfigurationError(f"the database {name} is encoded in {encoding}; Pamps needs one in UTF8")
        if connection.exec_driver_sql("SELECT lower(U&'\\00C9' COLLATE \"default\") <> U&'\\00E9'").scalar_one():
            log.warning("in the locale of the database %s, such as C, a search for é doesn't find É", name)


def first_line(error: object) -> str:
    return str(error).strip().splitlines()[0]
