"""The migrations: up and down, what they make against what the models say, several at once, and one that fails."""

import ast
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pgqueuer.adapters.persistence.qb import DBSettings, QueryBuilderEnvironment
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError
from sqlmodel import SQLModel

from pamps import schema, startup
from pamps.db import drivers
from pamps.errors import DatabaseUnavailable, SchemaBehind
from tests.catalog import COLUMNS, CONSTRAINTS, FUNCTIONS, INDEXES, TRIGGERS, parts, whole
from tests.tables import tables

FILES = sorted((schema.SCRIPTS / "versions").glob("[0-9]*.py"))
files = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
FIRST = "2026_11_22_first_tables"
PATIENCE = 60  # seconds until a process that should wait or end fails the test


@pytest.fixture
def fresh(new_database: Callable[[], str]) -> Iterator[Engine]:
    """An empty database."""
    with connected(new_database()) as engine:
        yield engine


@contextmanager
def connected(uri: str) -> Iterator[Engine]:
    engine = drivers.engine(uri)
    yield engine
    engine.dispose()


def migrate(engine: Engine, revision: str = "head") -> None:
    startup.migrate(engine.url.render_as_string(hide_password=False), revision)


def test_up_down_and_up_again(fresh: Engine) -> None:
    migrate(fresh)
    up = whole(fresh)
    assert {"user.email", "post_tombstone_check", "like_by_post", "post_counted", "fold"} < up.keys()
    assert schema.current(fresh) == schema.head()
    migrate(fresh, "base")
    assert (whole(fresh), schema.current(fresh)) == ({}, None)
    migrate(fresh)
    assert (whole(fresh), schema.current(fresh)) == (up, schema.head())


def test_every_step_goes_up_and_down_by_itself(fresh: Engine) -> None:
    before = [whole(fresh)]
    upwards = schema.revisions()[::-1]
    for revision in upwards:
        migrate(fresh, revision)
        before.append(whole(fresh))
    for revision in ["base", *upwards[:-1]][::-1]:
        before.pop()
        migrate(fresh, revision)
        assert whole(fresh) == before[-1]


def test_autogenerate_finds_nothing_to_do(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": schema.ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_models_would_make_the_same_tables(engine: Engine, fresh: Engine) -> None:
    """Check constraints and expressions too, which autogenerate doesn't compare; and pgqueuer those of the queue."""
    with fresh.begin() as connection:
        connection.execute(text(parts(engine, FUNCTIONS)["fold"]))
        connection.exec_driver_sql(QueryBuilderEnvironment(DBSettings()).build_install_query())
        SQLModel.metadata.create_all(connection)
    for part in (COLUMNS, CONSTRAINTS, INDEXES):
        assert parts(fresh, part) == parts(engine, part)


def test_the_triggers_are_those_that_are_known(engine: Engine) -> None:
    heads = {
        name: re.sub(r" ON public\.| FOR EACH.*", " ", trigger) for name, trigger in parts(engine, TRIGGERS).items()
    }
    assert heads == {
        "social_counted": "CREATE TRIGGER social_counted AFTER INSERT OR DELETE social ",
        "like_counted": 'CREATE TRIGGER like_counted AFTER INSERT OR DELETE "like" ',
        "post_emptied": "CREATE TRIGGER post_emptied BEFORE UPDATE OF user_id post ",
        "post_counted": "CREATE TRIGGER post_counted AFTER INSERT OR DELETE OR UPDATE OF user_id, parent_id post ",
        "user_keeps_an_admin": 'CREATE TRIGGER user_keeps_an_admin AFTER UPDATE OF role, suspended_at "user" ',
        "user_keeps_an_admin_left": 'CREATE TRIGGER user_keeps_an_admin_left AFTER DELETE "user" ',
        "session_is_not_too_many": "CREATE TRIGGER session_is_not_too_many BEFORE INSERT session ",
        "user_suspended": 'CREATE TRIGGER user_suspended AFTER UPDATE OF suspended_at "user" ',
        "email_unverified": 'CREATE TRIGGER email_unverified BEFORE UPDATE OF email "user" ',
        "tg_pgqueuer_changed": "CREATE TRIGGER tg_pgqueuer_changed "
        "AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE pgqueuer ",
    }


DATA = """
    INSERT INTO "user" (email, username, password_hash) VALUES ('ada@x.org', 'ada', 'x'), ('bob@x.org', 'bob', 'x');
    INSERT INTO post (user_id, parent_id, text) VALUES (1, NULL, 'Hello?'), (2, 1, 'Hello!');
    INSERT INTO "like" (user_id, post_id) VALUES (1, 2);
    INSERT INTO social (follower_id, followed_id) VALUES (1, 2);
    INSERT INTO session (user_id, expires_at, family_hash, token_hash) VALUES (1, '2030-01-01', 'f', 't');
"""


def test_what_was_written_survives_all_later_migrations_up_and_down(fresh: Engine) -> None:
    migrate(fresh, FIRST)
    with fresh.begin() as connection:
        connection.execute(text(DATA))
    before = tables(fresh)
    for revision in ("head", FIRST, "head", FIRST):
        migrate(fresh, revision)
    assert tables(fresh) == before
    assert [len(rows) for rows in before.values()] == [2, 1, 1, 2, 1]


def test_two_that_migrate_at_once_do_it_once(fresh: Engine) -> None:
    """Both wait for a third, so that they surely come at the same time."""
    uri = fresh.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", "import sys; from pamps import startup; startup.migrate(sys.argv[1])", uri]
    with fresh.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7246773001)"))
        processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
        deadline = time.monotonic() + PATIENCE
        waiting = text(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON database = pg_database.oid "
            "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
        )
        while connection.scalar(waiting) < 2:
            assert time.monotonic() < deadline
            assert [process.poll() for process in processes] == [None, None]
    for process in processes:
        _, error = process.communicate(timeout=PATIENCE)
        assert (process.returncode, error) == (0, b"")
    with fresh.connect() as connection:
        assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [schema.head()]


FAILING = """
from alembic import op

revision = "2999_01_01_failing"
down_revision = "{down_revision}"


def upgrade() -> None:
    op.execute("ALTER TABLE post ADD COLUMN mood text")
    op.execute("DELETE FROM post")
    op.execute("SELECT nothing FROM nowhere")
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more migration, which fails on its way."""
    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    for file in [schema.SCRIPTS / "env.py", *FILES]:
        (scripts / file.relative_to(schema.SCRIPTS)).write_text(file.read_text())
    last = FAILING.format(down_revision=schema.head())
    (scripts / "versions" / "2999_01_01_failing.py").write_text(last)
    monkeypatch.setattr(schema, "SCRIPTS", scripts)
    schema.revisions.cache_clear()
    yield
    schema.revisions.cache_clear()


def test_a_migration_that_fails_leaves_schema_and_data_as_they_were(
    fresh: Engine, request: pytest.FixtureRequest
) -> None:
    migrate(fresh)
    with fresh.begin() as connection:
        connection.execute(text(DATA))
    before = whole(fresh), tables(fresh), schema.current(fresh)
    request.getfixturevalue("failing")
    with pytest.raises(ProgrammingError, match="nowhere"):
        schema.migrate(fresh)
    assert (whole(fresh), tables(fresh), schema.current(fresh)) == before


def test_of_a_migration_that_fails_the_step_is_named(fresh: Engine, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("failing")
    refused = 'the database refused to migrate to 2999_01_01_failing: relation "nowhere" does not exist'
    for _ in range(2):  # after all the others, and by itself
        with pytest.raises(DatabaseUnavailable) as upwards:
            migrate(fresh)
        assert upwards.value.detail == refused
        migrate(fresh, schema.revisions()[1])
    with fresh.begin() as connection:
        connection.execute(text("CREATE VIEW in_the_way AS SELECT * FROM session"))
    with pytest.raises(DatabaseUnavailable) as downwards:
        migrate(fresh, FIRST)
    assert re.match(r"the database refused to migrate from 2026_\w+: cannot drop", downwards.value.detail)


@pytest.mark.usefixtures("failing")
def test_a_migration_that_fails_takes_those_before_it_back(fresh: Engine) -> None:
    with pytest.raises(ProgrammingError, match="nowhere"):
        schema.migrate(fresh)
    assert (whole(fresh), schema.current(fresh)) == ({}, None)


def test_a_schema_from_the_future_is_left_alone(fresh: Engine) -> None:
    migrate(fresh)
    with fresh.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '2999_01_01_future'"))
    before = whole(fresh)
    for revision in ("head", "base"):
        with pytest.raises(SchemaBehind, match="2999_01_01_future"):
            migrate(fresh, revision)
    assert (whole(fresh), schema.current(fresh)) == (before, "2999_01_01_future")


def test_the_revisions_are_one_line() -> None:
    scripts = ScriptDirectory(str(schema.SCRIPTS))
    assert (scripts.get_heads(), scripts.get_bases()) == ([schema.head()], [FIRST])
    assert schema.revisions() == tuple(script.revision for script in scripts.walk_revisions())


@files
def test_a_migration_is_dated_and_named_as_its_file(file: Path) -> None:
    assert re.fullmatch(r"\d{4}_(0[1-9]|1[0-2])_([0-2]\d|3[01])[b-z]?_[a-z0-9_]+", file.stem)
    assert value(file, "revision") == file.stem


@files
def test_a_migration_knows_nothing_of_the_application(file: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or "."] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= {"alembic", "sqlalchemy"}


@files
def test_a_migration_goes_both_ways_and_does_not_wait_long_for_locks(file: Path) -> None:
    functions = {node.name: node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
    for name in ("upgrade", "downgrade"):
        first, *rest = functions[name].body
        assert re.fullmatch(r"""op\.execute\(["']SET LOCAL lock_timeout = '\d+m?s'["']\)""", ast.unparse(first))
        assert rest


def value(file: Path, name: str) -> Any:
    """What a module-level name of a file is set to."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{file} sets no {name}")
