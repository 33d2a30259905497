"""Databases of other encodings and locales: what can't hold every text is refused, what can't fold it is warned of."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from pamps import schema
from tests.commands import Commands

PLAIN = "TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_is_not_in_utf8_is_refused(
    new_database: Callable[[str], str], tmp_path: Path, encoding: str
) -> None:
    pamps = Commands(new_database(f"{PLAIN} ENCODING '{encoding}'"), tmp_path)
    name = make_url(pamps.uri).database
    for command in (("migrate",), ("serve", "--port", "0"), ("user-list",)):
        assert pamps.refused(*command) == f"the database {name} is encoded in {encoding}; Pamps needs one in UTF8"
    assert pamps.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]


def test_a_locale_that_knows_ascii_alone_is_warned_of(new_database: Callable[[str], str], tmp_path: Path) -> None:
    pamps = Commands(new_database(f"{PLAIN} ENCODING 'UTF8'"), tmp_path)
    name = make_url(pamps.uri).database
    migrated = pamps.run("migrate")
    assert (migrated.returncode, migrated.stdout) == (0, f"The schema is at {schema.head()}.\n")
    assert migrated.stderr == f"in the locale of the database {name}, such as C, a search for é doesn't find É\n"
    pamps.sql("""INSERT INTO "user" (email, username, password_hash, name) VALUES ('e@x', 'ed', '', 'Édouard')""")
    assert pamps("user-list", "--filter", "É").count("Édouard") == 1
