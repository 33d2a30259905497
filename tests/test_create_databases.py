"""postgres/create-databases.sh, run against a real server by the psql that is found on PATH."""

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import make_url

from pamps import embedded
from pamps.db import drivers
from tests.checkout import ROOT

SCRIPT = ROOT / "postgres" / "create-databases.sh"

Run = Callable[[str], list[tuple[Any, ...]]]


def create_databases(server_uri: str, names: str, **changed: str) -> str:
    """What the script prints when it is run against a server, which libpq's variables name."""
    url = make_url(server_uri)
    host, port = (str(part or url.query.get(name, "")) for name, part in (("host", url.host), ("port", url.port)))
    variables = {"PGHOST": host, "PGPORT": port, "PGUSER": url.username or "", "PGPASSWORD": str(url.password or "")}
    path = f"{embedded.programs()}:{os.environ['PATH']}"
    wanted = {
        "PATH": path,
        "POSTGRES_DBS": names,
        **{name: value for name, value in variables.items() if value},
        **changed,
    }
    done = subprocess.run([SCRIPT], env=wanted, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def run(server_uri: str) -> Iterator[Run]:
    """Runs SQL on the server."""
    connection = psycopg2.connect(drivers.asyncpg_uri(server_uri))
    connection.autocommit = True

    def execute(statement: str) -> list[tuple[Any, ...]]:
        cursor = connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []

    yield execute
    connection.close()


@pytest.fixture
def mark(run: Run) -> Iterator[str]:
    """A part of a database's name that nobody else uses; databases that bear it are dropped in the end."""
    mark = uuid4().hex[:12]
    yield mark
    for (drop,) in run(
        f"SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE datname LIKE '%{mark}%'"
    ):
        run(drop)


def test_the_databases_that_are_named_are_made(server_uri: str, run: Run, mark: str) -> None:
    plain, odd = f"pamps_{mark}", f'An "odd" na\'me; {mark}'
    assert (
        create_databases(server_uri, f" {plain} ,{odd},,\n {plain}")
        == f"created database {odd}\ncreated database {plain}\n"
    )
    found = run(
        f"SELECT datname, pg_encoding_to_char(encoding) FROM pg_database WHERE datname LIKE '%{mark}%' ORDER BY 1"
    )
    assert found == [(odd, "UTF8"), (plain, "UTF8")]


def test_making_the_databases_again_changes_nothing(server_uri: str, run: Run, mark: str) -> None:
    create_databases(server_uri, f"pamps_{mark}")
    databases = "SELECT oid, datname FROM pg_database WHERE datname LIKE 'pamps\\_%" + mark + "'"
    before = run(databases)
    assert len(before) == 1
    assert create_databases(server_uri, f"pamps_{mark}, pamps_{mark}") == ""
    assert run(databases) == before


def test_the_images_names_of_user_and_password_win(server_uri: str, run: Run, mark: str) -> None:
    url = make_url(server_uri)
    images = {"POSTGRES_USER": url.username or "", "POSTGRES_PASSWORD": str(url.password or "")}
    create_databases(server_uri, f"pamps_{mark}", PGUSER="nobody", PGPASSWORD="wrong", PGDATABASE="none", **images)
    assert run(f"SELECT count(*) FROM pg_database WHERE datname = 'pamps_{mark}'") == [(1,)]


@pytest.mark.parametrize("names", ["", " ", ",, ,"])
def test_where_no_database_is_named_none_is_made(server_uri: str, names: str) -> None:
    assert create_databases(server_uri, names) == ""
