"""The ground that tests stand on: a real PostgreSQL, a database for each process, an API whose answers are checked.

The server is an embedded one, shared by the test processes, unless PAMPS_TEST_DB__uri names another. The schema is made
by the migrations. Each test begins with empty tables and commits for real, so that what runs on several connections can
be tested like everything else.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg2
import pytest
from psycopg2.errors import DeadlockDetected
from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import OperationalError

from pamps import embedded, startup
from pamps.app import create_app
from pamps.config import Limits, Settings
from pamps.db import drivers
from pamps.loading import load_settings
from tests import forks
from tests.api import Api
from tests.factories import World

hypothesis.settings.register_profile("normal", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("slow", deadline=None, max_examples=1000, print_blob=True)

SECRET = "a-key-for-tests-0123456789-abcdefghijklmnop"
FOLDER = "PYTEST_PAMPS_FOLDER"  # of the embedded server that all test processes share
TABLES = (
    '"user", social, session, post, "like", link, pgqueuer, pgqueuer_log, attempt, device, idempotency_key, tally, '
    "two_factor"
)
MUCH = 4_000_000  # bytes of all tables, each with its indexes; half a million when they are new

# Where most of the time goes, to processes that start and to pip: ten seconds and more, the longest first.
LONGEST = (
    *(
        "schemathesis",
        "readme",
        "under_load",
        "benchmarks",
        "outages",
        "restore",
        "cli_serve",
        "healing",
        "connections",
    ),
    *(
        "installed",
        "new_migration",
        "backup",
        "mail_delivery",
        "mail_failures",
        "cli",
        "soak",
        "plans",
        "mail_outages",
        "doctor",
    ),
    *("embedded", "overload", "kept", "embedded_recovery", "histories", "metrics", "cli_accounts", "embedded_root"),
    *("mail_links", "fuzz", "races", "limits", "watching"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="more examples, longer loads, fresh processes")


def pytest_configure(config: pytest.Config) -> None:
    # What a job of a script, or nohup, leaves ignored the commands would inherit.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    hypothesis.settings.load_profile("slow" if config.getoption("--slow") else "normal")
    forks.in_use = not config.getoption("--slow")
    if FOLDER not in os.environ:  # else this is one of several test processes, and the first has made it
        folder = tempfile.mkdtemp(prefix="pamps-test-")  # a short path, as a socket's has to be
        Path(folder).chmod(0o755)  # the account that the embedded server has under root must come through
        os.environ[FOLDER] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that in the end no process is left alone with it."""
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def server_uri() -> Iterator[str]:
    """A server on which tests may make and drop databases."""
    configured = load_settings().test_db.uri
    if configured:
        yield configured
        return
    with embedded.running(Path(os.environ[FOLDER]) / "server") as uri:
        yield uri


@pytest.fixture(scope="session")
def new_database(server_uri: str) -> Iterator[Callable[..., str]]:
    """Makes empty databases, in UTF8 unless it is told otherwise, and leaves none on a server that stays."""
    made: list[str] = []

    def execute(statement: str) -> None:
        connection = psycopg2.connect(drivers.asyncpg_uri(server_uri))
        connection.autocommit = True
        connection.cursor().execute(statement)
        connection.close()

    def make(options: str = "TEMPLATE template0 ENCODING 'UTF8'") -> str:
        name = f"pamps_test_{uuid4().hex[:12]}"
        execute(f"CREATE DATABASE {name} {options}")
        execute(f"ALTER DATABASE {name} SET synchronous_commit = off")  # nothing here is worth a disk's round trip
        made.append(name)
        return make_url(server_uri).set(database=name).render_as_string(hide_password=False)

    yield make
    if not load_settings().test_db.uri:
        return  # all of the server goes; dropping a database writes out what others hold
    for name in made:
        execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_database(new_database: Callable[..., str]) -> Callable[[], str]:
    """Makes databases with the tables in them: copies of one, for migrating takes ten times as long."""
    original = new_database()
    startup.migrate(original)
    return partial(new_database, f"TEMPLATE {make_url(original).database}")


@pytest.fixture(scope="session")
def uri(migrated_database: Callable[[], str]) -> str:
    """The migrated database of this test process."""
    return migrated_database()


@pytest.fixture(scope="session")
def engine(uri: str) -> Iterator[Engine]:
    engine = drivers.engine(uri)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def settings(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The defaults, on the test database, with passwords that cost next to nothing."""
    found = load_settings(tmp_path_factory.mktemp("empty"))
    # Delays that don't end while a test looks at them.
    patient = {"first_delay": 100.0, "longest_delay": 6400.0}
    cheap = {"secret_key": SECRET, "argon2_memory": 8, "argon2_passes": 1}
    return found.model_copy(
        update={
            "env": "testing",
            "db": found.db.model_copy(update={"uri": uri}),
            "guesses": found.guesses.model_copy(update=patient),
            "limits": Limits.model_validate(dict.fromkeys(Limits.model_fields, "") | {"shared": False}),
            "security": found.security.model_copy(update=cheap),
        }
    )


@pytest.fixture(scope="session")
def running(settings: Settings) -> Iterator[Api]:
    with Api(create_app(settings)) as api:
        yield api


@pytest.fixture
def empty(engine: Engine) -> None:
    """No row in any table, and ids from 1."""
    while True:
        try:
            with engine.begin() as connection:
                empty_tables(connection)
            return
        except OperationalError as error:
            # What the app does by itself, to deliver mail for one, may lock the same tables in another order.
            if not isinstance(error.orig, DeadlockDetected):
                raise


def empty_tables(connection: Connection) -> None:
    """What TRUNCATE does, in a twentieth of the time: it makes new files for each table and each index.

    Whoever the last test may have left behind, writing, is waited for as well. What is deleted stays in the files, and
    autovacuum gives way to this lock; so now and then they are made anew, or statements would read more and more.
    """
    sizes = f"SELECT sum(pg_total_relation_size(name)) FROM unnest('{{{TABLES}}}'::regclass[]) AS name"
    grown = connection.exec_driver_sql(sizes).scalar_one() > MUCH
    emptied = f"TRUNCATE {TABLES};" if grown else "".join(f"DELETE FROM {table};" for table in TABLES.split(","))
    sequences = "SELECT format('%%I.%%I', schemaname, sequencename)::regclass AS name, start_value, last_value"
    connection.exec_driver_sql(
        "SET LOCAL session_replication_role = replica;"  # no trigger counts or cascades: everything goes
        f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE;"
        f"{emptied}"
        "SET LOCAL session_replication_role = DEFAULT;"
        f"SELECT setval(name, start_value, false) FROM ({sequences} FROM pg_sequences) AS s WHERE last_value > 0"
    )


@pytest.fixture
def api(empty: None, running: Api) -> Api:
    """The service, on empty tables: `api.get("/post/")`, and as somebody: `api.as_(alice).get("/user/me/")`."""
    return running


@pytest.fixture
def world(empty: None, engine: Engine, settings: Settings) -> Iterator[World]:
    """Builds what a test needs: `world.user("ada")`, `world.post(by=ada)`."""
    with World(engine, settings) as world:
        yield world
