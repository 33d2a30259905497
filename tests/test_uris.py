"""A uri's parameters: the same uri serves asyncpg, psycopg2 and everybody who uses one of them."""

import re
from pathlib import Path

import pytest

from pamps.db.drivers import asyncpg_uri
from pamps.loading import load_settings
from tests.commands import Commands
from tests.processes import serving, until, without_settings

LIBPQ = "connect_timeout=3&keepalives=1&gssencmode=disable&channel_binding=prefer&sslmode=prefer&application_name=x"
UNKNOWN_SETTING = "options=-c%20no.such%3D1%20-c%20nosuch%3D1"


@pytest.fixture
def pamps(empty: None, uri: str, tmp_path: Path) -> Commands:
    return Commands(uri, tmp_path)


def with_query(uri: str, query: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{query}"


@pytest.mark.parametrize(
    ("scheme", "query"),
    [
        ("postgresql", LIBPQ),
        ("postgres", "target_session_attrs=any&options=-c%20search_path%3Dpublic"),
        ("postgresql+asyncpg", "ssl=prefer"),
    ],
)
def test_the_same_uri_migrates_lists_and_serves(pamps: Commands, scheme: str, query: str) -> None:
    pamps.settings["db__uri"] = with_query(re.sub(r"^\w+", scheme, pamps.uri), query)
    assert pamps("migrate").startswith("The schema is at ")
    assert pamps("user-list").startswith("id\tusername")
    with serving(pamps.folder, pamps.environment()) as server:
        assert server.status("/post/") == 200
        assert server.stop() == 0
        assert "serving anyway" not in server.output


def test_asyncpg_is_given_what_it_knows() -> None:
    given = "postgresql+psycopg2://ada:a%20b@db/pamps?sslmode=require&channel_binding=require&options=-c%20a%3D%C3%A9+b"
    assert asyncpg_uri(given) == "postgresql://ada:a%20b@db/pamps?sslmode=require&options=-c%20a%3D%C3%A9%20b"
    assert asyncpg_uri("postgres:///pamps?keepalives=1") == "postgresql:///pamps"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("ssl=require", "sslmode=require"), ("host=/x&ssl=true", "host=/x&sslmode=require"), ("options=ssl%3D", None)],
)
def test_ssl_is_said_in_libpqs_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, meant: str | None
) -> None:
    without_settings(monkeypatch)
    monkeypatch.setenv("PAMPS_DB__uri", f"postgresql://db/pamps?{given}")
    assert load_settings(tmp_path).db.uri == f"postgresql://db/pamps?{meant or given}"


def test_what_keeps_a_connection_from_being_made_is_one_line(pamps: Commands) -> None:
    uri = with_query(pamps.uri, UNKNOWN_SETTING)
    assert 'unrecognized configuration parameter "nosuch"' in pamps.refused("user-list", db__uri=uri)
    env = pamps.environment(db__uri=uri, db__auto_migrate="false")
    with serving(pamps.folder, env, ready=False) as server:
        assert server.problem("/readyz") == (503, "database-unavailable", "5")
        until(lambda: "serving anyway" in server.output)
        (line,) = [line for line in server.output.splitlines() if "serving anyway" in line]
        assert 'UndefinedObjectError: unrecognized configuration parameter "nosuch"' in line
        assert server.stop() == 0
